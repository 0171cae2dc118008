//! Looks up a name in the source file around a token.
//!
//! A macro cannot resolve names. If advice depends on whether `String` is std's, this module reads
//! the file. It does so only after something looked wrong, so valid handlers never pay for it.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::ext::IdentExt as _;
use syn::{Type, TypePath};

/// Checks whether the file that contains this name defines it, or imports it from a crate other
/// than std and pulpo. Returns false if there is no file to read.
pub(crate) fn is_own(name: &Ident) -> bool {
    of(name).is_some_and(|file| defines(file, &name.unraw().to_string()))
}

/// Checks whether the file that mentions a type also defines it, and not as a job.
pub(crate) fn is_plain(ty: &Type) -> bool {
    let Type::Path(TypePath { qself: None, path, .. }) = ty else { return false };
    let Some(name) = path.get_ident() else { return false };
    of(name).is_some_and(|file| defines_plain(file, &name.unraw().to_string()))
}

/// Checks whether a type is a struct or an enum of the file that mentions it.
pub(crate) fn is_defined(ty: &Type) -> bool {
    let Type::Path(TypePath { qself: None, path, .. }) = ty else { return false };
    let Some(name) = path.get_ident() else { return false };
    let file = of(name);
    file.is_some_and(|file| has_pair(file, &["struct", "enum"], &name.unraw().to_string()))
}

/// Checks whether one of these words stands before the name.
fn has_pair(tokens: TokenStream, words: &[&str], name: &str) -> bool {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let found = match token {
            TokenTree::Group(group) => has_pair(group.stream(), words, name),
            TokenTree::Ident(word) if words.iter().any(|keyword| word == keyword) => {
                matches!(tokens.peek(), Some(TokenTree::Ident(defined)) if defined == name)
            }
            _ => false,
        };
        if found {
            return true;
        }
    }
    false
}

fn defines_plain(tokens: TokenStream, name: &str) -> bool {
    let mut declared = false;
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => {
                declared |= group.stream().into_iter().next().is_some_and(|word| word.to_string() == "job");
            }
            TokenTree::Group(group) => {
                if defines_plain(group.stream(), name) {
                    return true;
                }
                declared = false;
            }
            TokenTree::Ident(word) if word == "struct" || word == "enum" => {
                if matches!(tokens.peek(), Some(TokenTree::Ident(defined)) if defined == name) {
                    return !declared;
                }
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => declared = false,
            _ => {}
        }
    }
    false
}

/// Returns the tokens of the file that contains a name.
fn of(name: &Ident) -> Option<TokenStream> {
    if !proc_macro::is_available() {
        return None;
    }
    let path = name.span().unwrap().local_file()?;
    std::fs::read_to_string(path).ok()?.parse().ok()
}

fn defines(tokens: TokenStream, name: &str) -> bool {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let found = match token {
            TokenTree::Group(group) => defines(group.stream(), name),
            TokenTree::Ident(word) if ["struct", "enum", "union", "type"].iter().any(|keyword| word == keyword) => {
                matches!(tokens.peek(), Some(TokenTree::Ident(defined)) if defined == name)
            }
            TokenTree::Ident(word) if word == "use" => {
                let end = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ';');
                let path: TokenStream = std::iter::from_fn(|| tokens.next_if(|token| !end(token))).collect();
                imports(path, name)
            }
            _ => false,
        };
        if found {
            return true;
        }
    }
    false
}

/// Checks whether the tokens after a `use` import this name from a crate that could define it.
fn imports(path: TokenStream, name: &str) -> bool {
    let root = path.clone().into_iter().find_map(|token| match token {
        TokenTree::Ident(root) => Some(root.to_string()),
        _ => None,
    });
    let others = ["std", "core", "alloc", "pulpo"];
    root.is_some_and(|root| !others.contains(&&*root)) && mentions(path, name)
}

fn mentions(tokens: TokenStream, name: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(word) => word == name,
        TokenTree::Group(group) => mentions(group.stream(), name),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::{defines, defines_plain};

    #[test]
    fn a_type_is_plain_unless_it_is_declared_as_a_job() {
        let plain = |file: &str| defines_plain(file.parse().expect("tokens"), "Mail");
        assert!(plain("#[derive(Debug)] struct Mail { to: String }"));
        assert!(plain("#[job(\"a\")] struct A; mod jobs { pub enum Mail {} }"));
        assert!(!plain("#[derive(Job)] #[job(\"a\")] pub struct Mail;"));
        assert!(!plain("use shared::Mail;"));
    }

    #[test]
    fn a_name_is_own_where_it_is_defined_or_imported_from_own_code() {
        for own in [
            "struct State<T>(T);",
            "mod jobs { pub enum State { On } }",
            "use crate::address::State;",
            "use address::{City, State as State};",
            "type State = u8;",
        ] {
            assert!(defines(own.parse().expect("tokens"), "State"), "{own}");
        }
        for other in [
            "use pulpo::State;",
            "use pulpo::{Context, State};",
            "use std::sync::mpsc::State;",
            "fn f(_: State) {}",
            "struct Stat; struct Other { state: State }",
            "impl State {}",
        ] {
            assert!(!defines(other.parse().expect("tokens"), "State"), "{other}");
        }
    }
}
