//! The implementation of `Job`, and its policy.

use std::time::Duration;

use proc_macro2::{Delimiter, Group, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Generics, LitStr, Token, Type};

use super::ours_at;
use crate::check::{Job, Policy};

/// The body type is this job. Of a generic type, which is a fault, it is for
/// what could be one.
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
    let constants = quote! {
        const REQUEST_TYPE: &'static ::core::primitive::str = #name;
        #aliases
        #policy
        const USE_THE_ATTRIBUTE_PULPO_HANDLER_OR_DERIVE_PULPO_JOB_INSTEAD: #pulpo::__private::ByMacro =
            #pulpo::__private::ByMacro;
    };
    // The span of the whole implementation, which rustc shows to say which
    // types are jobs: the type of the user, and nothing of macros.
    let place = body.span();
    let keyword = Token![impl](place);
    let mut constants = Group::new(Delimiter::Brace, constants);
    constants.set_span(place);
    let (parameters, arguments, _) = generics.split_for_impl();
    let bound = (!generics.params.is_empty()).then(|| quote!(where #body #arguments: #pulpo::Body));
    quote_spanned! {ours_at(place)=>
        #[automatically_derived]
        #[allow(non_local_definitions)]
        #keyword #parameters #pulpo::Job for #body #arguments #bound #constants
    }
}

/// Only what differs from the defaults.
fn policy(pulpo: &TokenStream, job: &Job) -> Option<TokenStream> {
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

pub(super) fn duration(duration: Duration) -> TokenStream {
    let (seconds, nanoseconds) = (duration.as_secs(), duration.subsec_nanos());
    quote!(::core::time::Duration::new(#seconds, #nanoseconds))
}
