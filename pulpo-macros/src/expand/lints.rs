//! Lints of clippy whose advice a handler cannot follow: it takes its body by value, however large, it is not a
//! `const fn`, and nothing but our output calls it.
//!
//! The function allows them. Where the user forbids one, an `allow` is an error (E0453); there the
//! first token of the function is located as ours instead, and these lints pass over functions from
//! macros. Other lints may do so too, so it is done only where it must be, and only when clippy runs.

use std::path::Path;
use std::sync::OnceLock;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::quote;

use super::parts::ours_at;
use crate::source;

/// The lints, and the groups that have them.
const NAMES: [&str; 7] = [
    "clippy::large_types_passed_by_value",
    "clippy::missing_const_for_fn",
    "clippy::needless_pass_by_value",
    "clippy::single_call_fn",
    "clippy::nursery",
    "clippy::pedantic",
    "clippy::restriction",
];

/// Returns the function in a form that the lints pass over.
pub(super) fn without_lints(function: TokenStream) -> TokenStream {
    static FORBIDDEN: OnceLock<bool> = OnceLock::new();
    // What follows `cargo clippy --` comes in a variable.
    let of_clippy = || std::env::var("CLIPPY_ARGS").unwrap_or_default();
    let arguments = || -> Vec<String> {
        std::env::args().chain(of_clippy().split("__CLIPPY_HACKERY__").map(str::to_owned)).collect()
    };
    if *FORBIDDEN.get_or_init(|| is_forbidden(&arguments(), |root| std::fs::read_to_string(root).unwrap_or_default())) {
        from_a_macro(function)
    } else {
        quote! {
            #[allow(
                clippy::large_types_passed_by_value,
                clippy::missing_const_for_fn,
                clippy::needless_pass_by_value,
                clippy::single_call_fn
            )]
            #function
        }
    }
}

/// Checks whether clippy runs and one of the lints is forbidden, by its arguments or in the root of the crate.
fn is_forbidden(arguments: &[String], read: impl FnOnce(&Path) -> String) -> bool {
    let driver = arguments.first().and_then(|driver| Path::new(driver).file_stem());
    if driver.is_none_or(|driver| driver != "clippy-driver") {
        return false;
    }
    let names = |lint: &str| NAMES.contains(&&*lint.replace('-', "_"));
    let by_argument = arguments.iter().enumerate().any(|(index, argument)| {
        let next = || arguments.get(index + 1).is_some_and(|lint| names(lint));
        match argument.strip_prefix("--forbid").or_else(|| argument.strip_prefix("-F")) {
            Some("") => next(),
            Some(lint) => names(lint.strip_prefix('=').unwrap_or(lint)),
            None => false,
        }
    });
    let in_the_crate = || {
        let text = source::root(arguments.iter().map(String::as_str)).map(read).unwrap_or_default();
        text.contains("forbid") && text.parse().is_ok_and(forbids)
    };
    by_argument || in_the_crate()
}

/// Checks whether the tokens have `forbid(…)` with one of the lints or its group.
fn forbids(tokens: TokenStream) -> bool {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let found = match (&token, tokens.peek()) {
            (TokenTree::Ident(word), Some(TokenTree::Group(lints))) if word == "forbid" => {
                let lints = lints.stream().to_string().replace(char::is_whitespace, "");
                lints.split(',').any(|lint| NAMES.contains(&lint))
            }
            (TokenTree::Group(group), _) => forbids(group.stream()),
            _ => false,
        };
        if found {
            return true;
        }
    }
    false
}

/// Locates the first token after the attributes as ours. rustc then takes the function as a whole for ours.
fn from_a_macro(function: TokenStream) -> TokenStream {
    let mut tokens = function.into_iter();
    let mut marked = TokenStream::new();
    while let Some(mut token) = tokens.next() {
        let of_an_attribute = match &token {
            TokenTree::Punct(sign) => sign.as_char() == '#',
            TokenTree::Group(group) => group.delimiter() == Delimiter::Bracket,
            _ => false,
        };
        if of_an_attribute {
            marked.extend([token]);
            continue;
        }
        match &mut token {
            // A visibility from `macro_rules`.
            TokenTree::Group(group) if group.stream().is_empty() => {
                marked.extend([token]);
                continue;
            }
            TokenTree::Group(group) => *group = Group::new(group.delimiter(), from_a_macro(group.stream())),
            token => token.set_span(ours_at(token.span())),
        }
        marked.extend([token]);
        marked.extend(tokens);
        break;
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::{forbids, from_a_macro, is_forbidden};

    fn forbidden(arguments: &str, root: &str) -> bool {
        let arguments: Vec<_> = arguments.split_whitespace().map(str::to_owned).collect();
        is_forbidden(&arguments, |file| if file.ends_with("src/lib.rs") { root.to_owned() } else { String::new() })
    }

    #[test]
    fn a_lint_is_forbidden_by_an_argument_or_in_the_crate() {
        let clippy = "/bin/clippy-driver rustc --crate-name shop --edition=2024 src/lib.rs";
        for argument in [
            "--forbid=clippy::pedantic",
            "--forbid clippy::needless-pass-by-value",
            "-Fclippy::pedantic",
            "-F clippy::needless_pass_by_value",
            "-F clippy::nursery",
            "--forbid=clippy::single_call_fn",
        ] {
            assert!(forbidden(&format!("{clippy} {argument}"), ""), "{argument}");
        }
        assert!(forbidden(clippy, "#![forbid(unsafe_code, clippy::pedantic)] mod a {}"));
        assert!(!forbidden(&format!("{clippy} --deny=clippy::pedantic --forbid=unsafe_code"), ""));
        assert!(!forbidden(clippy, "#![forbid(unsafe_code)] #![deny(clippy::pedantic)]"));
        let rustc = clippy.replace("clippy-driver", "rustc");
        assert!(!forbidden(&rustc, "#![forbid(clippy::pedantic)]"), "rustc knows no lint of clippy");
    }

    #[test]
    fn a_lint_is_found_where_it_is_forbidden() {
        for file in [
            "#![forbid(clippy :: pedantic)]",
            "#![cfg_attr(clippy, forbid(clippy::needless_pass_by_value))]",
            "mod a { #![forbid(dead_code, clippy::pedantic,)] }",
            "#![forbid(clippy::large_types_passed_by_value)]",
        ] {
            assert!(forbids(file.parse().expect("tokens")), "{file}");
        }
        for file in ["#![deny(clippy::pedantic)]", "#![forbid(clippy::pedantic_not)]", "fn forbid(pedantic: u8) {}"] {
            assert!(!forbids(file.parse().expect("tokens")), "{file}");
        }
    }

    #[test]
    fn the_function_keeps_its_tokens() {
        for function in ["#[inline] pub(super) fn a(b: B) {}", "/// Does it.\nasync fn a(b: B) {}", "fn a() {}"] {
            let tokens: proc_macro2::TokenStream = function.parse().expect("tokens");
            assert_eq!(from_a_macro(tokens.clone()).to_string(), tokens.to_string());
        }
    }
}
