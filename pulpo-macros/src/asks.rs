//! Questions to the compiler of which only the first one that fails is an error.
//!
//! A job may be asked for its only handler by each of its handlers, and by the list of `pulpo::main!`. If it has two, that
//! is one mistake, and only one of these questions may report it. A macro cannot tell which of them are about the same
//! type. So each question is the value of a constant, and a later one begins with the values of earlier ones that may be
//! the same question. If one of those has failed, rustc leaves the later one alone.

use proc_macro2::TokenStream;
use quote::quote;

use crate::krate;
use crate::seen::Seen;

/// The key of the questions of `pulpo::main!`.
const LIST: &str = "list";

/// A question about a type of this crate's handlers.
pub(crate) struct Ask {
    /// The number of the constant; `None` if a `cfg` may remove it.
    own: Option<u64>,
    /// The numbers of the constants that it comes after.
    after: Vec<u64>,
}

impl Ask {
    /// Returns the question of a handler; `body` stands for the body's type, as written in its file.
    pub(crate) fn of_body(body: &str, conditional: bool, seen: &Seen) -> Self {
        let key = format!("body {body}");
        let before = [LIST, &*key].into_iter().filter_map(|key| seen.last_ask(key).map(|last| number(key, last)));
        let after = before.collect();
        let own = (!conditional).then(|| seen.ask(&key)).map(|place| number(&key, place));
        Self { own, after }
    }

    /// Returns the question of a list of jobs, which comes after those of all handlers so far.
    pub(crate) fn of_list(seen: &Seen) -> Self {
        let asked = seen.all_asks().into_iter().filter(|(key, _)| key != LIST);
        let after = asked.map(|(key, last)| number(&key, last)).collect();
        Self { own: Some(number(LIST, seen.ask(LIST))), after }
    }

    /// Emits the constant. `marker` is a type of its own in this crate, and `question` a function that exists if the
    /// answer is right.
    pub(crate) fn constant(&self, pulpo: &TokenStream, marker: &TokenStream, question: &TokenStream) -> TokenStream {
        let Self { own, after } = self;
        let after = (!after.is_empty()).then(|| {
            let values = after
                .iter()
                .map(|number| quote!(<#pulpo::__private::Ask<#number> as #pulpo::__private::Asked<_>>::ANSWER));
            quote!(#pulpo::__private::after::<{ #(#values)+* }>();)
        });
        let answer = quote!({ #after #pulpo::__private::answer(#question) });
        match own {
            Some(number) => quote! {
                impl #pulpo::__private::Asked<#marker> for #pulpo::__private::Ask<#number> {
                    const ANSWER: ::core::primitive::usize = #answer;
                }
            },
            None => quote!(const _: ::core::primitive::usize = #answer;),
        }
    }
}

/// Returns the number of a question, which no other crate of a program has.
fn number(key: &str, place: u32) -> u64 {
    let text = format!("{} {key} {place}", krate::identity());
    // FNV-1a.
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
