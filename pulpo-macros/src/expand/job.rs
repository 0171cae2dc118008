//! The implementation of `Job`, and its policy.

use std::time::Duration;

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Generics, LitStr, Token, Type};

use super::parts::ours_at;
use crate::check::{Fields, Job, OnDuplicate, Policy, Rate, Unique, UniqueFor};

/// Implements `Job` for the body type. Generics are a fault; the implementation then covers the
/// instances that could be a job.
pub(super) fn implementation(
    pulpo: &TokenStream,
    job: &Job,
    name: &LitStr,
    body: &Type,
    generics: &Generics,
) -> TokenStream {
    let aliases = (!job.aliases.is_empty()).then(|| {
        let aliases = &job.aliases;
        quote! {
            const ALIASES: &'static [&'static ::core::primitive::str] = &[#(#aliases),*];
        }
    });
    let policy = policy(pulpo, job);
    let keys = keys(pulpo, job);
    let constants = quote! {
        const REQUEST_TYPE: &'static ::core::primitive::str = #name;
        #aliases
        #policy
        #keys
        const USE_THE_ATTRIBUTE_PULPO_HANDLER_OR_DERIVE_PULPO_JOB_INSTEAD: #pulpo::__private::ByMacro =
            #pulpo::__private::ByMacro;
    };
    // rustc shows the span of the whole implementation when it lists the types that are jobs. So it
    // is the span of the user's type, without macros.
    let place = body.span();
    let keyword = Token![impl](place);
    let mut constants = Group::new(Delimiter::Brace, constants);
    constants.set_span(place);
    let (parameters, arguments, _) = generics.split_for_impl();
    let bound = (!generics.params.is_empty()).then(|| quote!(where #body #arguments: #pulpo::Body));
    quote_spanned! {ours_at(place)=>
        #[automatically_derived]
        #keyword #parameters #pulpo::Job for #body #arguments #bound #constants
    }
}

/// Emits only the values that differ from the defaults.
fn policy(pulpo: &TokenStream, job: &Job) -> Option<TokenStream> {
    let Policy { queue, priority, max_attempts, backoff, ttr, timeout, .. } = &job.policy;
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
    let limits = limits(pulpo, &job.policy);
    let differences = quote!(#queue #priority #max_attempts #backoff #ttr #timeout #limits);
    (!differences.is_empty()).then(|| quote!(const POLICY: #pulpo::Policy = #pulpo::Policy::DEFAULT #differences;))
}

/// Emits the policy's unique keys and limits.
fn limits(pulpo: &TokenStream, policy: &Policy) -> TokenStream {
    let Policy { unique_for, on_duplicate, rate, limit, rate_by, limit_by, .. } = policy;
    let unique_for = unique_for.map(|unique_for| {
        let unique_for = match unique_for {
            UniqueFor::Unfinished => quote!(Unfinished),
            UniqueFor::Waiting => quote!(Waiting),
            UniqueFor::Time(time) => {
                let time = duration(time);
                quote!(Time(#time))
            }
        };
        quote!(.unique_for(#pulpo::__private::UniqueFor::#unique_for))
    });
    let on_duplicate = on_duplicate.map(|on_duplicate| {
        let on_duplicate = match on_duplicate {
            OnDuplicate::Keep => quote!(Keep),
            OnDuplicate::Replace => quote!(Replace),
            OnDuplicate::Reject => quote!(Reject),
        };
        quote!(.on_duplicate(#pulpo::__private::OnDuplicate::#on_duplicate))
    });
    let arguments = |Rate { starts, period }: &Rate| {
        let period = duration(*period);
        quote!(#starts, #period)
    };
    let rate = rate.as_ref().map(arguments).map(|arguments| quote!(.rate(#arguments)));
    let rate_by = rate_by.as_ref().map(arguments).map(|arguments| quote!(.rate_by(#arguments)));
    let limit = limit.map(|limit| quote!(.limit(#limit)));
    let limit_by = limit_by.map(|limit| quote!(.limit_by(#limit)));
    quote!(#unique_for #on_duplicate #rate #limit #rate_by #limit_by)
}

/// Emits the body fields that make up its keys. The field accesses are as the user wrote them, so
/// that rustc reports a misspelt one.
fn keys(pulpo: &TokenStream, job: &Job) -> Option<TokenStream> {
    let Job { unique, rate_by, limit_by, .. } = job;
    let body = Ident::new("__body", Span::mixed_site());
    let values = |Fields(fields): &Fields| quote!(|#body| #pulpo::__private::values(&(#(&#body.#fields,)*)));
    let unique = unique.as_ref().map(|unique| match unique {
        Unique::Body => quote!(.unique_body()),
        Unique::Fields(fields) => {
            let (names, values) = (fields.named(), values(fields));
            quote!(.unique(#names, #values))
        }
    });
    let rate = rate_by.as_ref().map(values).map(|values| quote!(.rate(#values)));
    let limit = limit_by.as_ref().map(values).map(|values| quote!(.limit(#values)));
    let keys = quote!(#unique #rate #limit);
    (!keys.is_empty())
        .then(|| quote!(const KEYS: #pulpo::__private::Keys<Self> = #pulpo::__private::Keys::<Self>::NONE #keys;))
}

pub(super) fn duration(duration: Duration) -> TokenStream {
    let (seconds, nanoseconds) = (duration.as_secs(), duration.subsec_nanos());
    quote!(::core::time::Duration::new(#seconds, #nanoseconds))
}
