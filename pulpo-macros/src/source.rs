//! Looks up a name in the source file around a token.
//!
//! A macro cannot resolve names. If advice depends on whether `String` is std's, this module reads
//! the file. It does so only after something looked wrong, so valid handlers never pay for it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use syn::ext::IdentExt as _;
use syn::{Type, TypePath, UseTree};

/// The types of the prelude, which mean std's wherever nothing says otherwise.
const PRELUDE: [&str; 5] = ["Box", "Option", "Result", "String", "Vec"];

/// Checks whether the file that contains this name defines it, or imports it from a crate other
/// than std and pulpo. Returns false if there is no file to read.
///
/// An import by `*` may have the name, and then rustc decides. A name of the prelude must be defined
/// in some file of the crate, because advice about std's is needed more often.
pub(crate) fn is_own(name: &Ident) -> bool {
    let text = name.unraw().to_string();
    match of(name).map(|file| origin(file, &text)) {
        Some(Origin::Own) => true,
        Some(Origin::Glob) if needs_no_import(&text) => {
            folder(name).is_some_and(|folder| is_defined_below(&folder, &text))
        }
        Some(Origin::Glob) => true,
        Some(Origin::Unknown | Origin::Other) | None => false,
    }
}

/// Checks whether std's type of this name is in sight everywhere.
fn needs_no_import(name: &str) -> bool {
    PRELUDE.contains(&name) || name.starts_with(char::is_lowercase)
}

/// Checks whether the file has a function of this name only among the items of an `impl` or a trait.
pub(crate) fn is_associated(name: &Ident) -> bool {
    of(name).is_some_and(|file| is_only_associated(file, &name.unraw().to_string()))
}

fn is_only_associated(file: TokenStream, name: &str) -> bool {
    let (mut free, mut associated) = (0, 0);
    count(file, name, false, &mut free, &mut associated);
    associated > 0 && free == 0
}

/// Checks whether the file has a function of this name, and none among the items of an `impl` or a trait.
pub(crate) fn is_free(name: &Ident) -> bool {
    of(name).is_some_and(|file| is_only_free(file, &name.unraw().to_string()))
}

fn is_only_free(file: TokenStream, name: &str) -> bool {
    let (mut free, mut associated) = (0, 0);
    count(file, name, false, &mut free, &mut associated);
    free > 0 && associated == 0
}

/// Checks whether the file that mentions a type has several of this name, each in a module of its own: it defines or
/// imports it more than once.
pub(crate) fn has_several(ty: &Type) -> bool {
    let Type::Path(TypePath { path, .. }) = ungrouped(ty) else { return false };
    let Some(last) = path.segments.last() else { return false };
    of(&last.ident).is_some_and(|file| means_several(file, &last.ident.unraw().to_string()))
}

/// Strips parentheses, and the invisible group of a `macro_rules` fragment.
pub(crate) fn ungrouped(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungrouped(&group.elem),
        Type::Paren(paren) => ungrouped(&paren.elem),
        other => other,
    }
}

fn means_several(file: TokenStream, name: &str) -> bool {
    let (mut defined, mut imports) = (0, HashSet::new());
    mentions(file, name, &mut defined, &mut imports);
    // One that is defined here is what the modules import.
    defined > 1 || defined == 0 && imports.len() > 1
}

/// Counts the definitions of a type, and collects the paths of its imports.
fn mentions(tokens: TokenStream, name: &str, defined: &mut u32, imports: &mut HashSet<String>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => mentions(group.stream(), name, defined, imports),
            TokenTree::Ident(word) if DEFINITIONS.iter().any(|keyword| word == keyword) => {
                let is_this = matches!(tokens.peek(), Some(TokenTree::Ident(found)) if found.unraw() == name);
                *defined += u32::from(is_this);
            }
            TokenTree::Ident(word) if word == "use" => {
                let end = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ';');
                let path: TokenStream = std::iter::from_fn(|| tokens.next_if(|token| !end(token))).collect();
                if let Ok(tree) = syn::parse2(path) {
                    paths(&tree, String::new(), name, imports);
                }
            }
            _ => {}
        }
    }
}

/// Collects the paths by which a `use` imports this name.
fn paths(tree: &UseTree, before: String, name: &str, imports: &mut HashSet<String>) {
    match tree {
        UseTree::Path(path) => paths(&path.tree, format!("{before}{}::", path.ident), name, imports),
        UseTree::Group(group) => group.items.iter().for_each(|tree| paths(tree, before.clone(), name, imports)),
        UseTree::Name(one) if one.ident.unraw() == name => drop(imports.insert(format!("{before}{name}"))),
        UseTree::Rename(one) if one.rename.unraw() == name => drop(imports.insert(format!("{before}{}", one.ident))),
        UseTree::Name(_) | UseTree::Rename(_) | UseTree::Glob(_) => {}
    }
}

/// Counts the functions of this name in the braces of an `impl` or a trait, and elsewhere.
fn count(tokens: TokenStream, name: &str, in_impl: bool, free: &mut u32, associated: &mut u32) {
    // Whether an `impl` or a trait has begun, and another item, in whose signature the word has another meaning.
    let (mut of_impl, mut of_other) = (false, false);
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => {
                let braces = group.delimiter() == Delimiter::Brace;
                count(group.stream(), name, braces && of_impl, free, associated);
                if braces {
                    (of_impl, of_other) = (false, false);
                }
            }
            TokenTree::Ident(word) if word == "fn" => {
                of_other = true;
                if matches!(tokens.peek(), Some(TokenTree::Ident(called)) if called.unraw() == name) {
                    *(if in_impl { &mut *associated } else { &mut *free }) += 1;
                }
            }
            TokenTree::Ident(word) if word == "impl" || word == "trait" => of_impl |= !of_other,
            TokenTree::Punct(end) if end.as_char() == ';' => (of_impl, of_other) = (false, false),
            _ => {}
        }
    }
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

/// Checks whether the file that mentions a type has a handler that takes it.
pub(crate) fn has_handler(ty: &Type) -> bool {
    let Type::Path(TypePath { qself: None, path, .. }) = ty else { return false };
    let Some(name) = path.get_ident() else { return false };
    of(name).is_some_and(|file| takes(file, &name.unraw().to_string()))
}

/// Checks whether a function below an attribute `handler` takes this type, by its name or a path to it: as its first
/// parameter or, with `batch`, in a `Vec`.
fn takes(tokens: TokenStream, name: &str) -> bool {
    let is = |token: &TokenTree, sign: char| matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign);
    let is_taken = |parameters: &Group, is_batch: bool| {
        let after = parameters.stream().into_iter().skip_while(|token| !is(token, ':')).skip(1);
        let mut first: Vec<_> = after.take_while(|token| !is(token, ',')).collect();
        let is_vec = first.pop_if(|last| is(last, '>')).is_some();
        let called = first.pop();
        let is_called = matches!(&called, Some(TokenTree::Ident(last)) if last.unraw() == name);
        let opened = first.iter().filter(|token| is(token, '<')).count();
        let is_path =
            first.iter().all(|token| matches!(token, TokenTree::Ident(_)) || is(token, ':') || is(token, '<'));
        is_called && is_path && is_vec == is_batch && opened == usize::from(is_batch)
    };
    // Whether its handler has `batch`.
    let mut handler = None;
    tokens.into_iter().any(|token| match token {
        TokenTree::Group(group) => match group.delimiter() {
            Delimiter::Bracket => {
                handler = handler.or(handler_with_batch(&group));
                false
            }
            // Also that of `pub(crate)`, before the parameters.
            Delimiter::Parenthesis => handler.is_some_and(|is_batch| is_taken(&group, is_batch)),
            Delimiter::Brace | Delimiter::None => {
                handler = None;
                takes(group.stream(), name)
            }
        },
        _ => false,
    })
}

/// Returns, for the content of an attribute `handler`, whether it has the argument `batch`.
fn handler_with_batch(attribute: &Group) -> Option<bool> {
    let mut words = attribute.stream().into_iter().peekable();
    let path = std::iter::from_fn(|| words.next_if(|token| !matches!(token, TokenTree::Group(_))));
    path.last().filter(|word| word.to_string() == "handler")?;
    let arguments = words.next().into_iter().flat_map(|token| match token {
        TokenTree::Group(group) => group.stream(),
        other => other.into(),
    });
    Some(arguments.into_iter().any(|token| token.to_string() == "batch"))
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
    std::fs::read_to_string(file(name)?).ok()?.parse().ok()
}

/// Returns the file that contains a name.
fn file(name: &Ident) -> Option<PathBuf> {
    if proc_macro::is_available() { name.span().unwrap().local_file() } else { None }
}

/// Returns the folder of the crate's root, or of the file that contains the name.
fn folder(name: &Ident) -> Option<PathBuf> {
    let arguments: Vec<_> = std::env::args().collect();
    let file = file(name)?;
    let root = root(arguments.iter().map(String::as_str)).unwrap_or(&file);
    root.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder }.to_owned())
}

/// Returns the file of the crate's root, from the arguments of the compiler.
pub(crate) fn root<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Option<&'a Path> {
    arguments.into_iter().find(|argument| argument.ends_with(".rs") && !argument.starts_with('-')).map(Path::new)
}

/// Checks whether some file in this folder defines a type of this name.
fn is_defined_below(folder: &Path, name: &str) -> bool {
    any_below(folder, &mut |file| {
        file.contains(name) && file.parse().is_ok_and(|file| has_pair(file, &DEFINITIONS, name))
    })
}

/// Checks whether one of the sources in this folder is such a file.
fn any_below(folder: &Path, is_such: &mut impl FnMut(&str) -> bool) -> bool {
    std::fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        let called = entry.file_name();
        if path.is_dir() {
            let hidden = called == "target" || called.to_string_lossy().starts_with('.');
            return !hidden && any_below(&path, is_such);
        }
        let is_source = path.extension().is_some_and(|extension| extension == "rs");
        is_source && std::fs::read_to_string(path).is_ok_and(|text| is_such(&text))
    })
}

/// Checks whether a name at the beginning of a path may mean anything: some file of the crate mentions it, except as
/// `crate = name`, or imports everything from another crate, perhaps the name too.
pub(crate) fn may_name(name: &Ident) -> bool {
    let text = name.unraw().to_string();
    let mentions = |file: TokenStream| mentions_crate(file, &text);
    let (file, folder) = (of(name), folder(name));
    file.is_none_or(mentions)
        || folder.is_none_or(|folder| any_below(&folder, &mut |file| file.parse().map_or(true, mentions)))
}

fn mentions_crate(tokens: TokenStream, name: &str) -> bool {
    let is_sign = |token: &TokenTree, sign: char| matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign);
    let all: Vec<_> = tokens.into_iter().collect();
    all.iter().enumerate().any(|(place, token)| match token {
        TokenTree::Group(group) => mentions_crate(group.stream(), name),
        TokenTree::Ident(word) if word.unraw() == name => {
            // `crate = name` and `crate = ::name`.
            let mut before = all[..place].iter().rev().skip_while(|token| is_sign(token, ':'));
            let is_value = before.next().is_some_and(|token| is_sign(token, '='));
            !(is_value && before.next().is_some_and(|word| word.to_string() == "crate"))
        }
        TokenTree::Ident(word) if word == "use" => {
            let path: Vec<_> = all[place + 1..].iter().take_while(|token| !is_sign(token, ';')).cloned().collect();
            let is_within = |first: &TokenTree| ["crate", "self", "super"].contains(&&*first.to_string());
            !path.first().is_some_and(is_within) && imported(path.into_iter().collect(), name) == Origin::Glob
        }
        _ => false,
    })
}

/// The words before the name of a type that is being defined.
const DEFINITIONS: [&str; 4] = ["struct", "enum", "union", "type"];

/// The origin of a name, as far as one file shows it. The first of several counts.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    /// It is defined here, or imported from a crate other than std and pulpo.
    Own,
    /// It is imported from std or pulpo.
    Other,
    /// Everything is imported from some other module or crate, perhaps the name too.
    Glob,
    Unknown,
}

fn origin(tokens: TokenStream, name: &str) -> Origin {
    let mut found = Origin::Unknown;
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let here = match token {
            TokenTree::Group(group) => origin(group.stream(), name),
            TokenTree::Ident(word) if DEFINITIONS.iter().any(|keyword| word == keyword) => match tokens.peek() {
                Some(TokenTree::Ident(defined)) if defined.unraw() == name => Origin::Own,
                _ => Origin::Unknown,
            },
            TokenTree::Ident(word) if word == "use" => {
                let end = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ';');
                let path: TokenStream = std::iter::from_fn(|| tokens.next_if(|token| !end(token))).collect();
                imported(path, name)
            }
            _ => Origin::Unknown,
        };
        found = found.min(here);
    }
    found
}

/// Returns the origin of the name by the tokens after a `use`.
fn imported(path: TokenStream, name: &str) -> Origin {
    // `::std` is std too.
    let path = path.into_iter().skip_while(|token| matches!(token, TokenTree::Punct(_))).collect();
    syn::parse2(path).map_or(Origin::Unknown, |tree| by_tree(&tree, None, name))
}

fn by_tree(tree: &UseTree, root: Option<&Ident>, name: &str) -> Origin {
    let others = ["std", "core", "alloc", "pulpo"];
    let of_others = |root: Option<&Ident>| root.is_none_or(|root| others.iter().any(|other| root == other));
    match tree {
        UseTree::Path(path) => by_tree(&path.tree, root.or(Some(&path.ident)), name),
        UseTree::Group(group) => {
            group.items.iter().map(|tree| by_tree(tree, root, name)).min().unwrap_or(Origin::Unknown)
        }
        UseTree::Glob(_) if of_others(root) => Origin::Unknown,
        UseTree::Glob(_) => Origin::Glob,
        UseTree::Name(one) if one.ident.unraw() != name => Origin::Unknown,
        UseTree::Rename(one) if one.rename.unraw() != name => Origin::Unknown,
        UseTree::Name(_) | UseTree::Rename(_) if of_others(root) => Origin::Other,
        UseTree::Name(_) | UseTree::Rename(_) => Origin::Own,
    }
}

#[cfg(test)]
mod tests;
