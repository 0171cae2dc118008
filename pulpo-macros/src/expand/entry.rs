//! The handler's entry in the list that the linker collects, and the call of the function.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Ident, ReturnType, Type};

use super::job::duration;
use super::parts::{Handler, angles, located, ours_at};
use crate::check::{Batch, Cron, Entry, Function, Schedule};

/// Emits the entry of a handler, and the function that it calls.
///
/// The types of the user's function are repeated only in generated functions: see the documentation
/// of the parent module.
pub(super) fn entry(handler: &Handler<'_>, body: &Type) -> TokenStream {
    let Handler { pulpo, job, function } = handler;
    let Function { name, others, .. } = function;
    let path = format!("::{}", name.unraw());
    let place = place(name);
    let angles = angles(name.span());
    let names = Names::new();
    let Names { run, body: decoded } = &names;
    let outcome = outcome(handler, &names);
    let needed = others.iter().map(|ty| of_trait(pulpo, ty, "Parameter", "needed"));
    let entry = handler.local("entry");
    let (decode, submit, more) = match &job.batch {
        None => (quote!(decode), quote!(handler), TokenStream::new()),
        Some(Batch { most, linger }) => {
            let linger = duration(*linger);
            (quote!(decode_all), quote!(batch_handler), quote!(#most, #linger,))
        }
    };
    let handler_entry = quote! {
        #pulpo::__private::#submit::<#body>(
            ::core::concat!(::core::module_path!(), #path),
            #place,
            |#run| #pulpo::__private::#decode::<#body>(#run).map(|#decoded| #outcome),
            &[#(#needed),*],
            #more
        )
    };
    let handler_entry = match &job.schedule {
        None => handler_entry,
        Some(schedule) => {
            let schedule = schedule_of(pulpo, schedule);
            quote!(#pulpo::__private::scheduled::<#body>(#handler_entry, #schedule))
        }
    };
    quote! {
        const fn #entry #angles () -> #pulpo::__private::Handler {
            #handler_entry
        }
        #pulpo::__private::submit! { #entry() }
    }
}

/// Emits the schedule of a handler.
fn schedule_of(pulpo: &TokenStream, schedule: &Schedule) -> TokenStream {
    let Schedule { entries, missed, overlap } = schedule;
    let entries = entries.iter().map(|entry| match entry {
        Entry::Every(period) => {
            let period = duration(*period);
            quote!(#pulpo::__private::every(#period))
        }
        Entry::Cron { cron, zone } => {
            let Cron { text, minutes, hours, days, months, weekdays, either_day } = cron;
            quote!(#pulpo::__private::cron(#text, #zone, #minutes, #hours, #days, #months, #weekdays, #either_day))
        }
    });
    quote!(#pulpo::__private::schedule(const { &[#(#entries),*] }, #missed, #overlap))
}

/// Emits `<Type as Trait>::function`, all located at the type. As an argument in `<>`, the type
/// would get other advice than in the function.
fn of_trait(pulpo: &TokenStream, ty: &Type, name: &str, function: &str) -> TokenStream {
    let written = ty.to_token_stream();
    let mut spans = written.clone().into_iter().map(|token| token.span());
    let first = ours_at(spans.next().unwrap_or_else(Span::call_site));
    let last = spans.last().map_or(first, ours_at);
    let pulpo = located(pulpo.clone(), first);
    let (name, function) = (Ident::new(name, first), Ident::new(function, last));
    let head = quote_spanned!(first=> <#written as #pulpo::__private::#name>::);
    quote!(#head #function)
}

/// Emits the entry in the list of declared jobs.
pub(super) fn declaration(pulpo: &TokenStream, body: &Type) -> TokenStream {
    let place = place(body);
    quote! {
        #pulpo::__private::submit! {
            #pulpo::__private::declared::<#body>(#place)
        }
    }
}

/// Emits the replacement for a function that we cannot parse. If rustc cannot parse it either, it
/// has reported that and never gets here; otherwise the program does not build.
pub(super) fn unread(handler: &Handler<'_>) -> TokenStream {
    let place = handler.function.name.span();
    let pulpo = located(handler.pulpo.clone(), place);
    quote_spanned! {ours_at(place)=>
        const _: () = {
            #[used]
            static __PULPO_UNREAD: fn() = #pulpo::__private::a_handler_that_pulpo_can_read::<0>;
        };
    }
}

/// The generated variables in the user's call. Hygiene separates them from a function of the same name.
struct Names {
    run: Ident,
    body: Ident,
}

impl Names {
    fn new() -> Self {
        let own = |name| Ident::new(name, Span::mixed_site());
        Self { run: own("__run"), body: own("__body") }
    }
}

/// Emits file and line of the user's item. `file!` and `line!` return the place of the outermost
/// macro from which they come. Located entirely at the user's code, they return the place of the
/// item.
fn place(name: &impl ToTokens) -> TokenStream {
    quote_spanned!(name.span()=> ::core::file!(), ::core::line!())
}

/// Emits the call of the function, with its return type checked on the type itself.
fn outcome(handler: &Handler<'_>, names: &Names) -> TokenStream {
    let Handler { pulpo, job, function } = handler;
    let Names { run, body } = names;
    let (name_of_trait, into, spawned) = match job.batch {
        None => ("IntoOutcome", "into_outcome", quote!(outcome_async)),
        Some(_) => ("IntoOutcomes", "into_outcomes", quote!(outcomes_async)),
    };
    let Function { name, returned, others, asynchronous, .. } = function;
    let others = others.iter().map(|ty| of_trait(pulpo, ty, "Parameter", "of"));
    let arguments = quote!(#body #(, #others(#run))*);
    let call = quote!(#name(#arguments));
    // Locate the whole call at one place, for what rustc reports about its value.
    let call_at = |place| {
        let mut name = name.clone();
        name.set_span(place);
        quote_spanned!(place=> #name(#arguments))
    };
    let ty = match returned {
        ReturnType::Default => Returned::Named(Box::new(syn::parse_quote!(()))),
        ReturnType::Type(_, ty) => Returned::of(ty),
    };
    let unnamed = |place| {
        let pulpo = located((*pulpo).clone(), place);
        let (name, function) = (Ident::new(name_of_trait, place), Ident::new(into, place));
        quote_spanned!(place=> #pulpo::__private::#name::#function)
    };
    if let Some(keyword) = asynchronous {
        let place = ours_at(keyword.span);
        let call = call_at(ours_at(name.span()));
        let (into, call) = match ty {
            Returned::Named(ty) => (of_trait(pulpo, &ty, name_of_trait, into), call),
            // Coerced to the expected type.
            Returned::Never => {
                (of_trait(pulpo, &syn::parse_quote!(()), name_of_trait, into), quote!(async move { #call.await }))
            }
            Returned::Unnamed(place) => (unnamed(place), call),
        };
        let pulpo = located((*pulpo).clone(), keyword.span);
        return quote_spanned!(place=> #pulpo::__private::__outcome_async!(#spawned, #run, #into, #call));
    }
    match ty {
        Returned::Named(ty) => {
            let into = of_trait(pulpo, &ty, name_of_trait, into);
            let place = ours_at(ty.span());
            let call = quote_spanned!(place=> (#call));
            quote!(#into #call)
        }
        Returned::Never => call,
        Returned::Unnamed(place) => {
            let (into, call) = (unnamed(place), call_at(place));
            quote!(#into(#call))
        }
    }
}

/// The return type that a function declares.
enum Returned {
    Named(Box<Type>),
    /// The function never returns, and `!` as an argument is unstable.
    Never,
    /// The type can only be inferred. The error is located at the call, here.
    Unnamed(Span),
}

impl Returned {
    fn of(ty: &Type) -> Self {
        if let Type::Never(_) = ty {
            Self::Never
        } else if is_anonymous(ty.to_token_stream()) {
            Self::Unnamed(ours_at(ty.span()))
        } else {
            Self::Named(Box::new(ty.clone()))
        }
    }
}

/// Checks whether a type contains `impl`, or `_`, which rustc rejects in the function.
fn is_anonymous(ty: TokenStream) -> bool {
    ty.into_iter().any(|token| match token {
        TokenTree::Ident(word) => word == "impl" || word == "_",
        TokenTree::Group(group) => is_anonymous(group.stream()),
        _ => false,
    })
}
