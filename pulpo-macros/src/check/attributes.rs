//! Attributes of the user's item that the generated items must repeat.

use quote::quote;
use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token, parse_quote};

/// Returns the attribute in the form that a generated item must carry, or `None`.
///
/// If the item is configured away, no registration may stay behind. Lints allowed for the types of
/// the item would fire again on our uses of them.
pub(super) fn inherited(attribute: &Attribute) -> Option<Attribute> {
    let path = attribute.path();
    if path.is_ident("cfg") || path.is_ident("allow") {
        Some(attribute.clone())
    } else if path.is_ident("expect") {
        let lints = &attribute.meta.require_list().ok()?.tokens;
        Some(parse_quote!(#[allow(#lints)]))
    } else if path.is_ident("deprecated") {
        Some(parse_quote!(#[allow(deprecated)]))
    } else if path.is_ident("cfg_attr") {
        let parts = attribute.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok()?;
        let mut parts = parts.into_iter();
        let predicate = parts.next()?;
        let kept: Vec<Attribute> = parts.filter_map(|meta| inherited(&parse_quote!(#[#meta]))).collect();
        let kept = kept.iter().map(|attribute| &attribute.meta);
        let tokens = quote!(#(, #kept)*);
        (!tokens.is_empty()).then(|| parse_quote!(#[cfg_attr(#predicate #tokens)]))
    } else {
        None
    }
}
