//! Emit: the user's function as written, followed by one `const _`.
//!
//! All paths are absolute, and all names begin with `__pulpo`. The logic lives in
//! `pulpo::__private`; only code that cannot live there is generated here.
//!
//! Every generated token that rustc may report is *located* at the user's code and still *resolved*
//! as ours. So the error points to the right place, and lints treat the tokens as the output of a
//! macro, which they ignore.
//!
//! rustc drops an error that equals an earlier one, including its advice. So where we repeat a type
//! of the user's, it must get the same advice as in the function: that it could be a generic
//! parameter, added after the name. The empty `<>` of our items exists only for this.

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Attribute, Generics, Ident, LitStr, Type};

use self::parts::{Handler, angles, located, ours_at};
use crate::check::{Checked, Declared, Function, RequestType};
use crate::faults::Faults;
use crate::krate;
use crate::seen::Seen;
use crate::source;

mod entry;
mod job;
mod lints;
mod one;
mod parts;

#[cfg(test)]
mod tests;

/// Expands the attribute: from its tokens to their replacement.
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
            let item = lints::without_lints(item);
            quote!(#item #beside)
        }
        _ => {
            let item = without_faults(item, function);
            let fallback = sound.fallback(&faults, seen);
            quote!(#item #fallback)
        }
    }
}

/// Expands the derive macro: from the tokens of the type to the added ones.
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
            // If the crate is not found, report that once and not ten times.
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

impl Handler<'_> {
    /// Returns all items that are added to a handler without faults.
    fn block(&self, body: &Type, seen: &Seen) -> TokenStream {
        let Self { pulpo, job, function } = self;
        let conditional = is_conditional(&function.attributes);
        let place = function.name.span();
        let alias = self.local("Body");
        // Everything else uses the alias: rustc gives different advice for each mention.
        let written = angles(place);
        let alias_item = match &job.batch {
            None => quote!(type #alias #written = #body;),
            // In `<>`, as inside the `Vec`.
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

    /// Expands a handler with faults: the errors, and the items that the rest of the crate needs so
    /// that nothing else fails for the same cause.
    fn fallback(&self, faults: &Faults, seen: &Seen) -> TokenStream {
        let Self { pulpo, job, function } = self;
        let errors = errors(faults, &function.attributes);
        if function.method {
            return errors;
        }
        // The wrapping item would be a second error there.
        if !faults.is_empty() && source::is_associated(&function.name) {
            let faults = faults.with("a handler cannot stand in an `impl` or a trait: move it out");
            return self::errors(&faults, &function.attributes);
        }
        let body = function.body.as_ref().filter(|body| {
            let key = format!("fallback {} {}", one::file(function.name.span()), body.to_token_stream());
            seen.is_first(key, is_conditional(&function.attributes)) || source::has_several(body)
        });
        let known = body.map(|body| match &job.request_type {
            RequestType::Given(name) => job::implementation(pulpo, job, name, body, &Generics::default()),
            RequestType::OfTheBody => one::marker(self, body),
            // A handler without a name belongs to a job declared elsewhere, or to no job.
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
}

/// Removes from the function what is a fault and would make rustc report more errors: `const`, `...`, and attributes
/// that a handler cannot have.
fn without_faults(item: TokenStream, function: &Function) -> TokenStream {
    let mut tokens = item.into_iter().peekable();
    let mut kept = TokenStream::new();
    let mut variadic = function.variadic;
    while let Some(token) = tokens.next() {
        match (&token, tokens.peek()) {
            (TokenTree::Punct(sign), Some(TokenTree::Group(group)))
                if sign.as_char() == '#' && function.has_removed(group) =>
            {
                tokens.next();
            }
            (TokenTree::Ident(word), _) if function.constant && word == "const" => {}
            (TokenTree::Group(parameters), _) if variadic && parameters.delimiter() == Delimiter::Parenthesis => {
                variadic = false;
                kept.extend([without_the_last(parameters)]);
            }
            _ => kept.extend([token]),
        }
    }
    kept
}

/// Removes the parameter `...`, with its pattern and attributes.
fn without_the_last(parameters: &Group) -> TokenTree {
    let all: Vec<_> = parameters.stream().into_iter().collect();
    let is = |token: &TokenTree, sign: char| matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign);
    let dots = all.iter().position(|token| is(token, '.')).unwrap_or(all.len());
    let before = all[..dots].iter().rposition(|token| is(token, ',')).unwrap_or(0);
    let mut kept = Group::new(Delimiter::Parenthesis, all.into_iter().take(before).collect());
    kept.set_span(parameters.span());
    kept.into()
}

/// Puts everything that we add into one block, which adds no name to the scope around it.
fn beside(attributes: &[Attribute], items: &TokenStream) -> TokenStream {
    quote!(#(#attributes)* const _: () = { #items };)
}

/// Does the same for a function that may be in an `impl`, which we cannot see. There the block
/// would be invalid and could not find the function. The item that wraps it is valid everywhere
/// else. Within an `impl`, rustc reports that the item does not belong there, drops it, and so
/// reports no second error. If the crate is not found, the item that replaces the block has the
/// same error once more, which rustc drops too.
fn outside_impls(handler: &Handler<'_>, block: &TokenStream) -> TokenStream {
    if block.is_empty() {
        return TokenStream::new();
    }
    let Handler { pulpo, job, function } = handler;
    let place = ours_at(function.name.span());
    // A path given by the user may be wrong, and is reported there.
    let pulpo = match job.pulpo {
        Some(_) => (*pulpo).clone(),
        None => located((*pulpo).clone(), function.name.span()),
    };
    quote_spanned!(place=> #[#pulpo::__private::beside(#block)] impl #pulpo::__private::NoJob {})
}

/// Emits the faults as compiler errors.
fn errors(faults: &Faults, attributes: &[Attribute]) -> TokenStream {
    faults
        .iter()
        .map(|fault| {
            let error = fault.to_compile_error();
            quote!(#(#attributes)* #error)
        })
        .collect()
}

/// Returns a name for a job that has no valid one.
fn faulty(place: Span) -> LitStr {
    LitStr::new("faulty", place)
}

/// Checks whether a `cfg` may remove the item after expansion.
fn is_conditional(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr"))
}

/// Returns a generated name whose span reaches from the first to the last of the user's tokens.
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
