//! One handler for one request type.
//!
//! The compiler finds two handlers in crates that see each other. Each name and each body
//! implements a trait with a type of its handler's own, and asks for the only implementation; with
//! two, rustc cannot choose. Two handlers in crates that do not see each other have a symbol of the
//! same name, which the linker rejects, or rustc when it links the whole program at once.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::{Ident, LitStr, Type};

use super::parts::{Handler, located, ours_at};
use crate::asks::Ask;
use crate::check::{Job, RequestType};
use crate::seen::Seen;
use crate::source;

/// Asserts that this function handles the job of its body, and that no other function does.
pub(super) fn handler(
    handler: &Handler<'_>,
    written: &Type,
    body: &Type,
    conditional: bool,
    seen: &Seen,
) -> TokenStream {
    let marker = marker(handler, body);
    // If this handler has a name, a second one implements `Job` again, or asks on its own.
    if matches!(handler.job.request_type, RequestType::Given(_)) {
        return marker;
    }
    let place = handler.function.name.span();
    let written = format!("{} {}", file(place), written.to_token_stream());
    let pulpo = located(handler.pulpo.clone(), place);
    let question = quote_spanned! {ours_at(place)=>
        #pulpo::__private::a_job_has_one_handler_so_remove_one_of_the_two::<#body, _>
    };
    let own = handler.marker().into_token_stream();
    let asked = Ask::of_body(&written, conditional, seen).constant(&pulpo, &own, &question);
    quote!(#marker #asked)
}

/// States that this function handles the job of its body.
pub(super) fn marker(handler: &Handler<'_>, body: &Type) -> TokenStream {
    let place = handler.function.name.span();
    let pulpo = located(handler.pulpo.clone(), place);
    let own = handler.marker();
    quote_spanned! {ours_at(place)=>
        pub enum #own {}
        impl #pulpo::__private::HasOneHandler<#own> for #body {}
    }
}

/// Asserts that no other job uses the names of this job, which `own` stands for.
pub(super) fn names(
    pulpo: &TokenStream,
    job: &Job,
    name: &LitStr,
    written: &Type,
    own: &Ident,
    conditional: bool,
    seen: &Seen,
) -> TokenStream {
    let names = std::iter::once(name).chain(&job.aliases).enumerate();
    names
        .map(|(index, name)| {
            let text = name.value();
            let guard = guard(index, name);
            // Repeating the body implements `Job` a second time, and rustc should report only that.
            let pair = format!("pair {} {text} {}", file(name.span()), written.to_token_stream());
            if !(seen.is_first(pair, conditional) || source::has_several(written)) {
                return guard;
            }
            let asks = seen.is_first(format!("name {text}"), conditional);
            let named = named(pulpo, name, own, asks);
            quote!(#guard #named)
        })
        .collect()
}

/// States that a job has this name and, if `asks` is set, asserts that no other job in sight has it.
fn named(pulpo: &TokenStream, name: &LitStr, own: &Ident, asks: bool) -> TokenStream {
    let hash = hash(&name.value());
    let place = ours_at(name.span());
    let pulpo = located(pulpo.clone(), name.span());
    let ask = asks.then(|| {
        quote_spanned! {place=>
            const _: fn() = #pulpo::__private::a_request_type_names_one_job_so_rename_one_of_the_two::<#pulpo::__private::RequestType<#hash>, _>;
        }
    });
    quote_spanned! {place=>
        impl #pulpo::__private::NamesOneJob<#own> for #pulpo::__private::RequestType<#hash> {}
        #ask
    }
}

/// FNV-1a hash of a name, which is the same in every compiler version.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Emits a symbol whose name explains the mistake if the linker, or rustc within one crate, meets
/// it twice. Linkers read it in lists in their own languages, so it contains only letters, digits,
/// `_` and `$`.
fn guard(index: usize, name: &LitStr) -> TokenStream {
    let mut symbol = String::from("two_pulpo_handlers_for_the_request_type__");
    for c in name.value().chars() {
        if c.is_ascii_alphanumeric() || c == '_' {
            symbol.push(c);
        } else {
            symbol.push_str(&format!("${:02X}", u32::from(c)));
        }
    }
    let item = format_ident!("__PULPO_REQUEST_TYPE_{index}");
    quote_spanned! {ours_at(name.span())=>
        #[unsafe(export_name = #symbol)]
        pub static #item: ::core::primitive::u8 = 0;
    }
}

/// Returns the file of a token, if known.
pub(super) fn file(place: Span) -> String {
    if proc_macro::is_available() { place.unwrap().file() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::hash;

    /// Crates that were compiled separately must arrive at the same hash.
    #[test]
    fn the_hash_of_a_name_never_changes() {
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash("foobar"), 0x8594_4171_f739_67e8);
    }
}
