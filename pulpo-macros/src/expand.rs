//! Emit: the user's function as it stands, and beside it one `const _`.
//!
//! All paths are absolute, all names begin with `__`, and the logic is in
//! `pulpo::__private`: what stands here is only what cannot stand there.
//!
//! Every token of ours that rustc may complain of is *located* at what the
//! user wrote and still *resolved* as ours: the error points to the right
//! place, and lints see the output of a macro, which they leave alone.

use std::time::Duration;

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Attribute, LitStr, ReturnType, Token, Type};

use crate::check::{Batch, Checked, Declared, Function, Handler, Job, Policy};
use crate::faults::Faults;

#[cfg(test)]
mod tests;

/// The attribute, from its tokens to those that take their place.
pub(crate) fn handler(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut faults = Faults::default();
    let checked = Checked::new(arguments, item.clone(), &mut faults);
    let item = if checked.function.as_ref().is_some_and(|function| function.constant) { not_const(item) } else { item };
    let attributes = checked.attributes();
    let added = match checked.handler() {
        Some(handler) if faults.is_empty() => {
            let job = match handler.request_type {
                Some(name) => registered_job(&checked.job, name, handler.body),
                None => the_only_one(&handler),
            };
            let entry = entry(&handler);
            outside_impls(&handler, &beside(attributes, quote!(#job #entry)))
        }
        handler => {
            let known = handler.and_then(|handler| Some((handler.request_type?, handler.body)));
            fallback(&checked.job, known, &faults, attributes)
        }
    };
    quote!(#item #added)
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

/// The derive macro, from the tokens of the type to those that are added.
pub(crate) fn job(item: TokenStream) -> TokenStream {
    let mut faults = Faults::default();
    let declared = Declared::new(item, &mut faults);
    match declared.sound() {
        Some((name, body)) if faults.is_empty() => {
            let job = registered_job(&declared.job, name, body);
            let declaration = declaration(&declared.job, body);
            beside(&declared.attributes, quote!(#job #declaration))
        }
        known => fallback(&declared.job, known, &faults, &declared.attributes),
    }
}

/// All that we add stands in one block, which names nothing outside.
fn beside(attributes: &[Attribute], items: TokenStream) -> TokenStream {
    quote!(#(#attributes)* const _: () = { #items };)
}

/// The same for a function, which may be one of an `impl` for all we see: there
/// the block could neither stand nor find the function. What it is put into can
/// stand anywhere else. Within an `impl`, rustc says that this item does not
/// belong there, drops it, and so comes to no second error.
fn outside_impls(handler: &Handler<'_>, block: &TokenStream) -> TokenStream {
    let Handler { job: Job { pulpo, .. }, function, .. } = handler;
    let place = ours_at(function.name.span());
    let pulpo = located(pulpo.to_token_stream(), function.name.span());
    quote_spanned!(place=> #[#pulpo::__private::beside(#block)] impl () {})
}

/// For what has faults: these, and what the rest of the crate needs so that
/// nothing else fails for the same cause.
fn fallback(job: &Job, known: Option<(&LitStr, &Type)>, faults: &Faults, attributes: &[Attribute]) -> TokenStream {
    let errors = faults.iter().map(|fault| {
        let error = fault.to_compile_error();
        quote!(#(#attributes)* #error)
    });
    let job = known.map(|(name, body)| beside(attributes, implementation(job, name, body)));
    quote!(#(#errors)* #job)
}

/// The body type is this job, and no other job has its names.
fn registered_job(job: &Job, name: &LitStr, body: &Type) -> TokenStream {
    let implementation = implementation(job, name, body);
    let names = std::iter::once(name).chain(&job.aliases);
    let guards = names.enumerate().map(|(index, name)| guard(index, name));
    quote!(#implementation #(#guards)*)
}

/// Of a job that is declared on its type, of which we do not know the name: no
/// second handler of it is in sight of this one.
fn the_only_one(handler: &Handler<'_>) -> TokenStream {
    let Handler { job: Job { pulpo, .. }, function, body, .. } = handler;
    let name = function.name.span();
    let pulpo = located(pulpo.to_token_stream(), name);
    quote_spanned! {ours_at(name)=>
        enum __Handler {}
        #[allow(non_local_definitions)]
        impl #pulpo::__private::HasOneHandler<__Handler> for #body {}
        const _: fn() = #pulpo::__private::a_declared_job_has_one_handler::<#body, _>;
    }
}

/// The body type is this job.
fn implementation(job: &Job, name: &LitStr, body: &Type) -> TokenStream {
    let Job { pulpo, aliases, .. } = job;
    let aliases = (!aliases.is_empty()).then(|| {
        quote! {
            const ALIASES: &'static [&'static ::core::primitive::str] = &[#(#aliases),*];
        }
    });
    let policy = policy(job);
    let constants = quote! {
        const REQUEST_TYPE: &'static ::core::primitive::str = #name;
        #aliases
        #policy
    };
    // The span of the whole implementation, which rustc shows to say which
    // types are jobs: the user's type, without a word about macros.
    let place = body.span();
    let keyword = Token![impl](place);
    let mut constants = Group::new(Delimiter::Brace, constants);
    constants.set_span(place);
    quote_spanned! {ours_at(place)=>
        #[automatically_derived]
        #[allow(non_local_definitions)]
        #keyword #pulpo::Job for #body #constants
    }
}

/// Only what differs from the defaults.
fn policy(job: &Job) -> Option<TokenStream> {
    let pulpo = &job.pulpo;
    let Policy { queue, priority, max_attempts, backoff, ttr, timeout } = &job.policy;
    let queue = queue.as_ref().map(|queue| quote!(.queue(#queue)));
    let priority = priority.map(|priority| quote!(.priority(#priority)));
    let max_attempts = max_attempts.map(|runs| quote!(.max_attempts(#runs)));
    let backoff = backoff.map(|(first, most)| {
        let (first, most) = (duration(first), duration(most));
        quote!(.backoff(#first, #most))
    });
    let ttr = ttr.map(|ttr| {
        let ttr = duration(ttr);
        quote!(.ttr(#ttr))
    });
    let timeout = timeout.map(|timeout| {
        let timeout = duration(timeout);
        quote!(.timeout(#timeout))
    });
    let differences = quote!(#queue #priority #max_attempts #backoff #ttr #timeout);
    (!differences.is_empty()).then(|| quote!(const POLICY: #pulpo::Policy = #pulpo::Policy::DEFAULT #differences;))
}

fn duration(duration: Duration) -> TokenStream {
    let (seconds, nanoseconds) = (duration.as_secs(), duration.subsec_nanos());
    quote!(::core::time::Duration::new(#seconds, #nanoseconds))
}

/// A symbol that says what is wrong if the linker, or rustc within one crate,
/// meets it twice.
fn guard(index: usize, name: &LitStr) -> TokenStream {
    let symbol = format!("two pulpo handlers for the request type `{}`", name.value());
    let item = format_ident!("__PULPO_REQUEST_TYPE_{index}");
    quote_spanned! {ours_at(name.span())=>
        #[unsafe(export_name = #symbol)]
        pub static #item: ::core::primitive::u8 = 0;
    }
}

/// The entry in the list of handlers, which the linker collects.
fn entry(handler: &Handler<'_>) -> TokenStream {
    let Handler { job, function, body, .. } = handler;
    let pulpo = &job.pulpo;
    let Function { name, others, .. } = function;
    let path = format!("::{}", name.unraw());
    let place = place(name);
    let outcome = outcome(handler);
    if let Some(Batch { most, linger }) = &job.batch {
        let linger = duration(*linger);
        return quote! {
            #pulpo::__private::submit! {
                #pulpo::__private::batch_handler::<#body>(
                    ::core::concat!(::core::module_path!(), #path),
                    #place,
                    |__run| #pulpo::__private::decode_all::<#body>(__run).map(|__body| #outcome),
                    &[#(#pulpo::__private::needed::<#others>),*],
                    #most,
                    #linger,
                )
            }
        };
    }
    quote! {
        #pulpo::__private::submit! {
            #pulpo::__private::handler::<#body>(
                ::core::concat!(::core::module_path!(), #path),
                #place,
                |__run| #pulpo::__private::decode::<#body>(__run).map(|__body| #outcome),
                &[#(#pulpo::__private::needed::<#others>),*],
            )
        }
    }
}

/// The entry in the list of declared jobs.
fn declaration(job: &Job, body: &Type) -> TokenStream {
    let pulpo = &job.pulpo;
    let place = place(body);
    quote! {
        #pulpo::__private::submit! {
            #pulpo::__private::declared::<#body>(#place)
        }
    }
}

/// File and line of the user's item. `file!` and `line!` tell the place of the
/// outermost macro that they come from: wholly the user's, they tell that of
/// the item.
fn place(name: &impl ToTokens) -> TokenStream {
    quote_spanned!(name.span()=> ::core::file!(), ::core::line!())
}

/// The call of the function, its return type checked on the type itself.
fn outcome(handler: &Handler<'_>) -> TokenStream {
    let Handler { job: Job { pulpo, batch, .. }, function, .. } = handler;
    let (plain, spawned) = match batch {
        None => (quote!(outcome), quote!(outcome_async)),
        Some(_) => (quote!(outcomes), quote!(outcomes_async)),
    };
    let Function { name, returned, others, asynchronous, .. } = function;
    let arguments = quote!(__body #(, #pulpo::__private::parameter::<#others>(__run))*);
    let call = quote!(#name(#arguments));
    // All of the call on one place, for what rustc says of its value.
    let call_at = |place| {
        let mut name = name.clone();
        name.set_span(place);
        quote_spanned!(place=> #name(#arguments))
    };
    let ty = match returned {
        ReturnType::Default => Returned::Named(quote!(())),
        ReturnType::Type(_, ty) => Returned::of(ty),
    };
    if let Some(keyword) = asynchronous {
        let call = call_at(ours_at(name.span()));
        let (ty, call) = match ty {
            Returned::Named(ty) => (ty, call),
            // Coerced to what the place wants.
            Returned::Never => (quote!(()), quote!(async move { #call.await })),
            Returned::Unnamed(place) => (quote_spanned!(place=> _), call),
        };
        let place = ours_at(keyword.span);
        let pulpo = located(pulpo.to_token_stream(), keyword.span);
        return quote_spanned!(place=> #pulpo::__private::__outcome_async!(#spawned, __run, #ty, #call));
    }
    match ty {
        Returned::Named(ty) => quote!(#pulpo::__private::#plain::<#ty>(#call)),
        Returned::Never => call,
        Returned::Unnamed(place) => {
            let call = call_at(place);
            quote!(#pulpo::__private::#plain(#call))
        }
    }
}

/// What a function says that it returns.
enum Returned {
    Named(TokenStream),
    /// It returns to nobody, and `!` as an argument is unstable.
    Never,
    /// It cannot be named, only inferred: the complaint is of the call, located
    /// here.
    Unnamed(Span),
}

impl Returned {
    fn of(ty: &Type) -> Self {
        let anonymous = |token: TokenTree| matches!(token, TokenTree::Ident(word) if word == "impl");
        if let Type::Never(_) = ty {
            Self::Never
        } else if ty.to_token_stream().into_iter().any(anonymous) {
            Self::Unnamed(ours_at(ty.span()))
        } else {
            Self::Named(ty.to_token_stream())
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
