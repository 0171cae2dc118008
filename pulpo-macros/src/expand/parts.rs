//! The building blocks of every part of the output: the handler, its generated names, and their locations.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{format_ident, quote_spanned};
use syn::Ident;

use crate::check::{Function, Job};

/// The parts from which a handler is expanded.
pub(super) struct Handler<'a> {
    /// The path of the crate.
    pub(super) pulpo: &'a TokenStream,
    pub(super) job: &'a Job,
    pub(super) function: &'a Function,
}

impl Handler<'_> {
    /// Returns the name of the type that stands for this handler.
    pub(super) fn marker(&self) -> Ident {
        self.local("Handler")
    }

    /// Returns a generated name for this function. No function or type of the user's has it, so it
    /// shadows nothing that the function names.
    pub(super) fn local(&self, what: &str) -> Ident {
        format_ident!("__pulpo_{what}_of_{}", self.function.name, span = Span::call_site())
    }
}

/// Returns `<>` at the end of the function's name: see the documentation of the parent module.
pub(super) fn angles(name: Span) -> TokenStream {
    quote_spanned!(name=> <>)
}

/// Locates all of these tokens at the user's code.
pub(super) fn located(tokens: TokenStream, place: Span) -> TokenStream {
    let located = |mut token: TokenTree| {
        token.set_span(token.span().located_at(place));
        token
    };
    tokens.into_iter().map(located).collect()
}

/// Locates a generated token at the user's token.
pub(super) fn ours_at(place: Span) -> Span {
    Span::call_site().located_at(place)
}
