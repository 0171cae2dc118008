//! Attributes of the user's item that what we add beside it needs too.

use quote::quote;
use syn::punctuated::Punctuated;
use syn::{Attribute, Meta, Token, parse_quote};

/// The attribute as what we add beside an item must carry it, or `None`.
///
/// What is configured away must not leave a registration behind, and a lint
/// that was allowed for the types of an item meets them again in ours.
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
