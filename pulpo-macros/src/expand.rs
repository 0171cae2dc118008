//! Emit: the user's function as it stands, and beside it one `const _`.
//!
//! All paths are absolute, all names begin with `__pulpo`, and the logic is in
//! `pulpo::__private`: what stands here is only what cannot stand there.
//!
//! Every token of ours that rustc may complain of is *located* at what the
//! user wrote and still *resolved* as ours: the error points to the right
//! place, and lints see the output of a macro, which they leave alone.
//!
//! rustc drops an error that is equal to one before, advice and all. So where
//! we repeat a type of the user's, it must get the advice that it gets in the
//! function: that it could be a generic parameter, added behind the name. The
//! empty `<>` of our items stand there for this alone.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Attribute, Generics, Ident, LitStr, Type};

use crate::check::{Checked, Declared, Function, Job, RequestType};
use crate::faults::Faults;
use crate::krate;
use crate::seen::Seen;
use crate::source;

mod entry;
mod job;
mod one;

#[cfg(test)]
mod tests;

/// The attribute, from its tokens to those that take their place.
pub(crate) fn handler(arguments: TokenStream, item: TokenStream, seen: &Seen) -> TokenStream {
    let mut faults = Faults::default();
    let checked = Checked::new(arguments, item.clone(), &mut faults);
    let Some(pulpo) = krate::path(checked.job.pulpo.as_ref(), seen, &mut faults) else {
        let errors = errors(&faults, checked.attributes());
        return quote!(#item #errors);
    };
    let Some(function) = &checked.function else {
        let errors = errors(&faults, &[]);
        return quote!(#item #errors);
    };
    let sound = Handler { pulpo: &pulpo, job: &checked.job, function };
    match &function.body {
        Some(body) if faults.is_empty() && function.readable => {
            let block = sound.block(body, seen);
            let beside = outside_impls(&sound, &block);
            // Its fix is to take the body by reference, which a handler cannot.
            quote!(#[allow(clippy::needless_pass_by_value)] #item #beside)
        }
        _ => {
            let item = if function.constant { not_const(item) } else { item };
            let fallback = sound.fallback(&faults, seen);
            quote!(#item #fallback)
        }
    }
}

/// The derive macro, from the tokens of the type to those that are added.
pub(crate) fn job(item: TokenStream, seen: &Seen) -> TokenStream {
    let mut faults = Faults::default();
    let declared = Declared::new(item, &mut faults);
    let pulpo = krate::path(declared.job.pulpo.as_ref(), seen, &mut faults);
    let (Some(pulpo), Some(body)) = (pulpo, &declared.body) else {
        return errors(&faults, &declared.attributes);
    };
    let attributes = &declared.attributes;
    match &declared.job.request_type {
        RequestType::Given(name) if faults.is_empty() => {
            let job = job::implementation(&pulpo, &declared.job, name, body, &Generics::default());
            let own = format_ident!("__pulpo_Job");
            let names = one::names(&pulpo, &declared.job, name, body, &own, is_conditional(attributes), seen);
            let entry = entry::declaration(&pulpo, body);
            let block = beside(attributes, &quote!(#job pub enum #own {} #names #entry));
            // Where the crate is not found, that is one error and not ten.
            quote!(#[#pulpo::__private::beside(#block)] impl #pulpo::__private::NoJob {})
        }
        request_type => {
            let errors = errors(&faults, attributes);
            let known = match request_type {
                RequestType::Given(name) => name.clone(),
                RequestType::OfTheBody | RequestType::Faulty => faulty(body.span()),
            };
            let job = job::implementation(&pulpo, &declared.job, &known, body, &declared.generics);
            let job = beside(attributes, &job);
            quote!(#errors #job)
        }
    }
}

/// What a handler is expanded from.
struct Handler<'a> {
    /// The path of the crate.
    pulpo: &'a TokenStream,
    job: &'a Job,
    function: &'a Function,
}

impl Handler<'_> {
    /// All that is added to a handler without faults.
    fn block(&self, body: &Type, seen: &Seen) -> TokenStream {
        let Self { pulpo, job, function } = self;
        let conditional = is_conditional(&function.attributes);
        let place = function.name.span();
        let alias = self.local("Body");
        // All else says the alias: rustc gives each mention other advice.
        let written = angles(place);
        let alias_item = match &job.batch {
            None => quote!(type #alias #written = #body;),
            // In `<>`, as within the `Vec`.
            Some(_) => quote!(type #alias #written = #pulpo::__private::One<#body>;),
        };
        let body_alias = spanning(&alias, body.to_token_stream());
        let body_alias: Type = syn::parse_quote!(#body_alias);
        let one = one::handler(self, body, &body_alias, conditional, seen);
        let job = match &job.request_type {
            RequestType::Given(name) => {
                let implementation = job::implementation(pulpo, job, name, &body_alias, &Generics::default());
                let names = one::names(pulpo, job, name, body, &self.marker(), conditional, seen);
                quote!(#implementation #names)
            }
            RequestType::OfTheBody | RequestType::Faulty => TokenStream::new(),
        };
        let entry = entry::entry(self, &body_alias);
        beside(&function.attributes, &quote!(#alias_item #job #one #entry))
    }

    /// For what has faults: these, and what the rest of the crate needs so that
    /// nothing else fails for the same cause.
    fn fallback(&self, faults: &Faults, seen: &Seen) -> TokenStream {
        let Self { pulpo, job, function } = self;
        let errors = errors(faults, &function.attributes);
        if function.method {
            return errors;
        }
        let body = function.body.as_ref().filter(|body| {
            let key = format!("fallback {} {}", one::file(function.name.span()), body.to_token_stream());
            seen.is_first(key, is_conditional(&function.attributes))
        });
        let known = body.map(|body| match &job.request_type {
            RequestType::Given(name) => job::implementation(pulpo, job, name, body, &Generics::default()),
            RequestType::OfTheBody => one::marker(self, body),
            // Without a name: that of a job which is declared elsewhere, or none.
            RequestType::Faulty if job.policy_without_a_name && !source::is_plain(body) => one::marker(self, body),
            RequestType::Faulty => {
                let name = faulty(body.span());
                job::implementation(pulpo, job, &name, body, &Generics::default())
            }
        });
        let known = known.map(|known| beside(&function.attributes, &known));
        let unread = (!function.readable && faults.is_empty()).then(|| entry::unread(self));
        outside_impls(self, &quote!(#errors #known #unread))
    }

    /// The type that stands for this handler.
    fn marker(&self) -> Ident {
        self.local("Handler")
    }

    /// A name of ours for this function: no function or type of the user's has
    /// it, so what the function names is found.
    fn local(&self, what: &str) -> Ident {
        format_ident!("__pulpo_{what}_of_{}", self.function.name, span = Span::call_site())
    }
}

/// The function without its `const`, which is a fault that rustc would find
/// more faults with.
fn not_const(item: TokenStream) -> TokenStream {
    let mut before = true;
    let keep = |token: &TokenTree| {
        let it = before && matches!(token, TokenTree::Ident(word) if word == "const");
        before &= !it;
        !it
    };
    item.into_iter().filter(keep).collect()
}

/// All that we add stands in one block, which names nothing outside.
fn beside(attributes: &[Attribute], items: &TokenStream) -> TokenStream {
    quote!(#(#attributes)* const _: () = { #items };)
}

/// The same for a function, which may be one of an `impl` for all we see: there
/// the block could neither stand nor find the function. What it is put into can
/// stand anywhere else. Within an `impl`, rustc says that this item does not
/// belong there, drops it, and so comes to no second error. If the crate is not
/// found, what stands there for the block has the same error once more, which
/// rustc drops too.
fn outside_impls(handler: &Handler<'_>, block: &TokenStream) -> TokenStream {
    if block.is_empty() {
        return TokenStream::new();
    }
    let Handler { pulpo, job, function } = handler;
    let place = ours_at(function.name.span());
    // A path that is written may be wrong, and is complained of there.
    let pulpo = match job.pulpo {
        Some(_) => (*pulpo).clone(),
        None => located((*pulpo).clone(), function.name.span()),
    };
    quote_spanned!(place=> #[#pulpo::__private::beside(#block)] impl #pulpo::__private::NoJob {})
}

/// The faults, as errors of the compiler.
fn errors(faults: &Faults, attributes: &[Attribute]) -> TokenStream {
    faults
        .iter()
        .map(|fault| {
            let error = fault.to_compile_error();
            quote!(#(#attributes)* #error)
        })
        .collect()
}

/// The name of a job that has no sound one.
fn faulty(place: Span) -> LitStr {
    LitStr::new("faulty", place)
}

/// Whether a `cfg` may take the item away after it was expanded.
fn is_conditional(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr"))
}

/// `<>` at the end of the name of the function: see the head of this module.
fn angles(name: Span) -> TokenStream {
    quote_spanned!(name=> <>)
}

/// A name of ours that reaches from the first of the user's tokens to the last.
fn spanning(name: &Ident, written: TokenStream) -> TokenStream {
    let mut tokens = written.into_iter();
    let first = tokens.next().map_or_else(Span::call_site, |token| token.span());
    let mut name = name.clone();
    name.set_span(ours_at(first));
    match tokens.last() {
        None => quote!(#name),
        Some(last) => {
            let brackets = quote_spanned!(ours_at(last.span())=> <>);
            quote!(#name #brackets)
        }
    }
}

/// These tokens, all on the place of the user's.
fn located(tokens: TokenStream, place: Span) -> TokenStream {
    let located = |mut token: TokenTree| {
        token.set_span(token.span().located_at(place));
        token
    };
    tokens.into_iter().map(located).collect()
}

/// The place of the user's token for a token of ours.
fn ours_at(place: Span) -> Span {
    Span::call_site().located_at(place)
}
