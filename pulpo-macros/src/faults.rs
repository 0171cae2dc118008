//! All faults of one handler, collected so that the user sees every independent one in one pass.

use proc_macro2::Span;
use quote::ToTokens;

#[derive(Default)]
pub(crate) struct Faults(Vec<syn::Error>);

impl Faults {
    pub(crate) fn push(&mut self, fault: syn::Error) {
        // Store them separately: an error of syn may hold several.
        self.0.extend(fault);
    }

    /// Adds a fault located at these tokens.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.push(syn::Error::new_spanned(tokens, message));
    }

    /// Returns the value, or adds the fault and returns `None`.
    pub(crate) fn keep<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|fault| self.push(fault)).ok()
    }

    /// Returns the same faults, of which the first one says this too.
    pub(crate) fn with(&self, more: &str) -> Self {
        let mut faults = self.0.clone();
        if let Some(first) = faults.first_mut() {
            *first = syn::Error::new_spanned(first.to_compile_error(), format!("{first}; and {more}"));
        }
        Self(faults)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &syn::Error> {
        self.0.iter()
    }
}

/// Returns a fault of the attribute itself, for which no single token is to blame.
pub(crate) fn of_the_attribute(message: &str) -> syn::Error {
    syn::Error::new(Span::call_site(), message)
}
