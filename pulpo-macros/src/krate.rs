//! The path of the crate `pulpo` as seen from the user's crate.
//!
//! Cargo passes every dependency to the compiler as `--extern NAME=FILE`, so a dependency that is
//! renamed in Cargo.toml is found by its file. Editors expand macros in a separate process without
//! these arguments; there the name is `pulpo`.

use std::path::Path;
use std::sync::OnceLock;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, quote};

use crate::faults::Faults;
use crate::seen::Seen;

/// How the crate is reached.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// By its own name.
    Itself,
    /// Under another name.
    As(String),
    /// The current crate does not depend on it.
    Nowhere,
}

/// Returns the path of the crate: as the user wrote it, or from the compiler's arguments. Returns
/// `None` if it is not a dependency, which is one fault for the whole crate.
pub(crate) fn path(written: Option<&syn::Path>, seen: &Seen, faults: &mut Faults) -> Option<TokenStream> {
    static FOUND: OnceLock<Found> = OnceLock::new();
    if let Some(path) = written {
        return Some(path.to_token_stream());
    }
    match FOUND.get_or_init(|| find(std::env::args())) {
        Found::Itself => Some(quote!(::pulpo)),
        Found::As(name) => {
            let name = Ident::new(name, Span::call_site());
            Some(quote!(::#name))
        }
        Found::Nowhere => {
            if !seen.is_first("the crate".to_owned(), false) {
                return None;
            }
            faults.push(syn::Error::new(
                Span::call_site(),
                "expected a dependency `pulpo`, got none: if another crate re-exports it, say where, \
                 `crate = that_crate::pulpo`",
            ));
            None
        }
    }
}

/// Searches the arguments of the compiler.
fn find(arguments: impl Iterator<Item = String>) -> Found {
    let mut renamed = None;
    let (mut externs, mut is_rustc) = (false, false);
    let mut arguments = arguments.peekable();
    while let Some(argument) = arguments.next() {
        if argument == "--crate-name" {
            is_rustc = true;
            // The crate itself, for its own tests.
            if arguments.peek().is_some_and(|name| name == "pulpo") {
                return Found::Itself;
            }
        }
        let declared = match argument.strip_prefix("--extern") {
            Some("") => arguments.next(),
            Some(declared) => declared.strip_prefix('=').map(str::to_owned),
            None => None,
        };
        let Some(declared) = declared else { continue };
        externs = true;
        let (name, file) = declared.split_once('=').map_or((&*declared, None), |(name, file)| (name, Some(file)));
        // Options precede the name: `priv:NAME`.
        let name = name.rsplit(':').next().unwrap_or(name);
        if name == "pulpo" {
            return Found::Itself;
        }
        if file.is_some_and(is_pulpo) {
            renamed = Some(name.to_owned());
        }
    }
    match renamed {
        Some(name) => Found::As(name),
        None if is_rustc && externs => Found::Nowhere,
        None => Found::Itself,
    }
}

/// Checks whether a library file is pulpo's: `libpulpo-0123456789abcdef.rlib`.
fn is_pulpo(file: &str) -> bool {
    let stem = Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let name = stem.strip_prefix("lib").unwrap_or(stem);
    name == "pulpo" || name.strip_prefix("pulpo-").is_some_and(|hash| !hash.contains(['-', '_']))
}

#[cfg(test)]
mod tests {
    use super::{Found, find};

    fn found(arguments: &str) -> Found {
        find(arguments.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_compiler_knows_the_name_of_the_dependency() {
        let pulpo = "target/debug/deps/libpulpo-0a1b2c.rmeta";
        assert_eq!(found(&format!("rustc --crate-name shop --extern pulpo={pulpo}")), Found::Itself);
        assert_eq!(found(&format!("rustc --crate-name shop --extern work={pulpo}")), Found::As("work".into()));
        assert_eq!(found(&format!("rustc --crate-name shop --extern=priv:work={pulpo}")), Found::As("work".into()));
        let both = format!("rustc --crate-name shop --extern old=libpulpo-99.rlib --extern pulpo={pulpo}");
        assert_eq!(found(&both), Found::Itself);
    }

    #[test]
    fn a_crate_without_the_dependency_has_it_from_another() {
        let other =
            "rustc --crate-name shop --extern framework=libframework-1.rlib --extern pulpo_macros=libpulpo_macros-1.so";
        assert_eq!(found(other), Found::Nowhere);
    }

    #[test]
    fn where_nothing_is_known_it_has_its_own_name() {
        assert_eq!(found("rust-analyzer-proc-macro-srv"), Found::Itself);
        assert_eq!(found("rustc --crate-name shop -L target/deps"), Found::Itself);
        assert_eq!(found("rustc --crate-name pulpo --extern serde=libserde.rlib"), Found::Itself);
        assert_eq!(found("rustc @arguments"), Found::Itself);
    }
}
