//! The path of the crate `pulpo` as seen from the user's crate.
//!
//! Cargo passes every dependency to the compiler as `--extern NAME=FILE`, so a dependency that is
//! renamed in Cargo.toml is found by its file. Editors expand macros in a separate process without
//! these arguments; there the name is `pulpo`.

use std::path::Path;
use std::sync::OnceLock;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, quote};
use syn::ext::IdentExt as _;

use crate::faults::Faults;
use crate::seen::Seen;
use crate::source;

/// How the crate is reached.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// By its own name.
    Itself,
    /// Under another name.
    As(String),
    /// Under several other names, of which the user must choose one.
    AsAny(Vec<String>),
    /// The current crate does not depend on it.
    Nowhere,
}

/// Returns the path of the crate: as the user wrote it, or from the compiler's arguments. Returns
/// `None` if it is not a dependency, which is one fault for the whole crate.
pub(crate) fn path(written: Option<&syn::Path>, seen: &Seen, faults: &mut Faults) -> Option<TokenStream> {
    static FOUND: OnceLock<Found> = OnceLock::new();
    let found = || FOUND.get_or_init(|| find(std::env::args()));
    if let Some(path) = written {
        let Some(name) = unknown(path) else { return Some(path.to_token_stream()) };
        let known = found().path();
        let advice = if known.is_some() { "leave `crate` out" } else { "add it to Cargo.toml" };
        faults.at(
            &name,
            format!(
                "expected the path of the crate pulpo, got `{name}`, which is not a dependency of this crate: {advice}"
            ),
        );
        return known;
    }
    found().path().or_else(|| {
        let message = match found() {
            Found::AsAny(names) => {
                let got = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ");
                let one = names.first().map_or("pulpo", String::as_str);
                format!("expected one dependency on pulpo, got {got}: say which, `crate = {one}`")
            }
            _ => "expected a dependency `pulpo`, got none: if another crate re-exports it, say where, \
                  `crate = that_crate::pulpo`"
                .to_owned(),
        };
        once(message, seen, faults)
    })
}

impl Found {
    /// Returns the path, if there is one and only one.
    fn path(&self) -> Option<TokenStream> {
        match self {
            Self::Itself => Some(quote!(::pulpo)),
            Self::As(name) => {
                let name = Ident::new(name, Span::call_site());
                Some(quote!(::#name))
            }
            Self::AsAny(_) | Self::Nowhere => None,
        }
    }
}

/// Reports that the crate is not found, once for the whole crate.
fn once(message: String, seen: &Seen, faults: &mut Faults) -> Option<TokenStream> {
    if seen.is_first("the crate".to_owned(), false) {
        faults.push(syn::Error::new(Span::call_site(), message));
    }
    None
}

/// Returns the first name of a path if nothing in this crate can have it: it is not a dependency, and no file mentions it.
/// rustc reports it too, but then the job is missing wherever it is used.
fn unknown(path: &syn::Path) -> Option<Ident> {
    let first = &path.segments.first()?.ident;
    let arguments: Vec<_> = std::env::args().collect();
    (is_no_dependency(&first.unraw().to_string(), &arguments) && !source::may_name(first)).then(|| first.clone())
}

/// Checks whether paths of this edition begin with dependencies, and this is the name of none.
fn is_no_dependency(name: &str, arguments: &[String]) -> bool {
    const ALWAYS: [&str; 10] =
        ["$crate", "alloc", "core", "crate", "proc_macro", "self", "Self", "std", "super", "test"];
    let edition = arguments.iter().find_map(|argument| argument.strip_prefix("--edition="));
    let is_known = |argument: &String| {
        let declared = argument.strip_prefix("--extern=").unwrap_or(argument);
        let declared = declared.split_once('=').map_or(declared, |(name, _)| name);
        declared.rsplit(':').next() == Some(name)
    };
    // More arguments may be in a file.
    let are_all = !arguments.iter().any(|argument| argument.starts_with('@'));
    are_all
        && edition.is_some_and(|edition| edition != "2015")
        && !ALWAYS.contains(&name)
        && !arguments.iter().any(is_known)
}

/// Returns what tells this crate from all others of a program, by the arguments of the compiler.
pub(crate) fn identity() -> &'static str {
    static IDENTITY: OnceLock<String> = OnceLock::new();
    IDENTITY.get_or_init(|| identity_of(std::env::args()))
}

fn identity_of(arguments: impl Iterator<Item = String>) -> String {
    let mut arguments = arguments.peekable();
    let mut parts = Vec::new();
    while let Some(argument) = arguments.next() {
        let is_named = matches!(&*argument, "--crate-name" | "--crate-type") || argument.ends_with(".rs");
        if is_named || argument == "--test" || argument.contains("metadata=") || argument.starts_with("--crate-") {
            parts.push(argument);
            parts.extend(arguments.next_if(|next| is_named && !next.starts_with('-')));
        }
    }
    parts.join(" ")
}

/// Searches the arguments of the compiler.
fn find(arguments: impl Iterator<Item = String>) -> Found {
    let mut renamed = Vec::new();
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
            renamed.push(name.to_owned());
        }
    }
    renamed.sort_unstable();
    renamed.dedup();
    match renamed.len() {
        0 if is_rustc && externs => Found::Nowhere,
        0 => Found::Itself,
        1 => Found::As(renamed.remove(0)),
        _ => Found::AsAny(renamed),
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
    use super::{Found, find, identity_of, is_no_dependency};

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
    fn of_two_renamed_ones_the_user_chooses() {
        let both = "rustc --crate-name shop --extern old=libpulpo-01.rlib --extern new=libpulpo-02.rlib";
        assert_eq!(found(both), Found::AsAny(vec!["new".into(), "old".into()]));
        // The metadata and the library of one.
        let one = "rustc --crate-name shop --extern old=libpulpo-01.rmeta --extern old=libpulpo-01.rlib";
        assert_eq!(found(one), Found::As("old".into()));
    }

    #[test]
    fn a_crate_without_the_dependency_has_it_from_another() {
        let other =
            "rustc --crate-name shop --extern framework=libframework-1.rlib --extern pulpo_macros=libpulpo_macros-1.so";
        assert_eq!(found(other), Found::Nowhere);
    }

    #[test]
    fn a_name_is_not_a_dependency_only_if_all_of_them_are_known() {
        let of = |name: &str, arguments: &str| {
            let arguments: Vec<_> = arguments.split_whitespace().map(str::to_owned).collect();
            is_no_dependency(name, &arguments)
        };
        let shop = "rustc --crate-name shop --edition=2021 src/lib.rs --extern pulpo=libpulpo-1.rlib";
        assert!(of("framework", shop));
        assert!(!of("framework", &format!("{shop} --extern framework=libframework-1.rlib")));
        assert!(!of("framework", &format!("{shop} --extern=priv:framework=libframework-1.rlib")));
        assert!(!of("framework", &format!("{shop} --extern noprelude,priv:framework=libframework-1.rlib")));
        assert!(!of("framework", &format!("{shop} @more")));
        assert!(!of("framework", &shop.replace("2021", "2015")));
        assert!(!of("framework", "rust-analyzer-proc-macro-srv"));
        assert!(!of("crate", shop) && !of("std", shop));
    }

    #[test]
    fn a_crate_is_distinguished_from_the_others_of_its_program() {
        let of = |arguments: &str| identity_of(arguments.split_whitespace().map(str::to_owned));
        let library = "rustc --crate-name shop src/lib.rs --crate-type lib -C metadata=0a -C opt-level=1";
        let crates = [
            library.to_owned(),
            library.replace("metadata=0a", "metadata=0b"),
            library.replace("--crate-name shop", "--crate-name=shop2"),
            library.replace("--crate-type lib", "--crate-type bin"),
            library.replace("src/lib.rs", "src/main.rs"),
            library.replace("--crate-type lib", "--test"),
        ];
        let all: std::collections::HashSet<_> = crates.iter().map(|arguments| of(arguments)).collect();
        assert_eq!(all.len(), crates.len(), "{all:?}");
        assert_eq!(of(library), of(&library.replace("opt-level=1", "opt-level=3")));
    }

    #[test]
    fn where_nothing_is_known_it_has_its_own_name() {
        assert_eq!(found("rust-analyzer-proc-macro-srv"), Found::Itself);
        assert_eq!(found("rustc --crate-name shop -L target/deps"), Found::Itself);
        assert_eq!(found("rustc --crate-name pulpo --extern serde=libserde.rlib"), Found::Itself);
        assert_eq!(found("rustc @arguments"), Found::Itself);
    }
}
