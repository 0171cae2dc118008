//! The type of the body: a type of the user's own, owned and spelt out.
//!
//! Bounds in the output leave to rustc the questions that only rustc can answer, such as whether
//! the type is `Serialize`. Types that rustc always rejects in the signature, such as `_` or an
//! unsized type, are left to that one error.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::{GenericArgument, PathArguments, Type, TypePath};

use crate::faults::Faults;
use crate::source::{has_handler, is_defined, is_own, is_plain, ungrouped};

/// Common types, which cannot stand for one request type. rustc would mention the orphan rule, and
/// a trait that the user did not write.
const FOREIGN: [&str; 30] = [
    "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "str", "u8", "u16", "u32", "u64", "u128",
    "usize", "BTreeMap", "BTreeSet", "Cow", "Duration", "HashMap", "HashSet", "Instant", "Option", "PathBuf", "Result",
    "String", "Vec", "VecDeque",
];

/// Types of std that hold one value. The handler can take the value instead.
const POINTERS: [&str; 8] = ["Arc", "Box", "Cell", "Mutex", "Pin", "Rc", "RefCell", "RwLock"];

/// Checks the body type. If it is faulty, returns the type that was meant, where that is clear, so
/// that code that publishes it gets no second error for the same cause.
pub(super) fn check(written: &Type, faults: &mut Faults) -> Option<Type> {
    let text = spelt(written);
    let mut meant = None;
    let fault = match ungrouped(written) {
        Type::Reference(reference) if is_pulpos(&reference.elem, "Context") => {
            format!("expected the body as the first parameter, got `{text}`: write it after the body")
        }
        Type::Path(_) if is_pulpos(written, "State") && argument(written).is_some() => {
            format!("expected the body as the first parameter, got `{text}`: write it after the body")
        }
        Type::Path(_) if is_pulpos(written, "Context") => {
            "expected the body as the first parameter, got `Context`: write `&pulpo::Context` after the body".to_owned()
        }
        Type::Path(_) if is_pulpos(written, "Message") && argument(written).is_some() => {
            let body = argument(written)?;
            meant = sound(body);
            format!(
                "expected the body alone, got `{text}`: write `{}`, and take what else the message says from \
                 `&pulpo::Context`",
                spelt(body)
            )
        }
        Type::Reference(reference) => {
            let owned = spelt(&reference.elem);
            meant = sound(&reference.elem);
            match ungrouped(&reference.elem) {
                Type::Path(path) if path.path.is_ident("str") => foreign("String", &text),
                Type::Slice(slice) => format!(
                    "expected the body by value, got a reference: write `Vec<{0}>` with `batch = 100`, or \
                     `struct Name(Vec<{0}>);`",
                    spelt(&slice.elem)
                ),
                Type::TraitObject(_) => {
                    format!("expected one type as the body, got `{text}`: the worker must know what to decode")
                }
                _ => format!("expected the body by value, got a reference: write `{owned}`"),
            }
        }
        Type::Infer(_) | Type::TraitObject(_) | Type::Slice(_) | Type::Never(_) => return None,
        Type::ImplTrait(_) => {
            format!("expected one type as the body, got `{text}`: the worker must know what to decode")
        }
        Type::Tuple(tuple) if tuple.elems.is_empty() => {
            "expected a type of your own as the body, got `()`: for a job without content write `struct Name;`"
                .to_owned()
        }
        Type::Tuple(_) | Type::Array(_) => foreign(&text, &text),
        Type::Path(path) if of_std(path, &POINTERS) && argument(written).is_some() => {
            let one = inside(written);
            match ungrouped(one) {
                Type::Path(path) if !of_std(path, &FOREIGN) => {
                    meant = sound(one);
                    format!("expected the body by value, got `{text}`: write `{}`", spelt(one))
                }
                Type::TraitObject(_) => {
                    format!("expected one type as the body, got `{text}`: the worker must know what to decode")
                }
                _ => foreign(&text, &text),
            }
        }
        Type::Path(path) if of_std(path, &FOREIGN) => match of_vec(written).map(ungrouped) {
            Some(Type::Path(one)) if !of_std(one, &FOREIGN) => {
                format!("{}, or add `batch = 100` if the handler takes several jobs at once", foreign(&text, &text))
            }
            _ => foreign(&text, &text),
        },
        // A macro in type position is expanded after ours.
        Type::Path(_) | Type::Macro(_) => match unusable(written.to_token_stream()) {
            Found::Nothing => return Some(written.clone()),
            Found::Placeholder => return None,
            Found::Fault(token, fault) => {
                faults.at(token, fault);
                return None;
            }
        },
        _ => format!("expected a type of your own as the body, got `{text}`"),
    };
    faults.at(written, fault);
    meant.or_else(|| mentioned(written))
}

/// Returns the value that a pointer of std holds, however many there are around it.
fn inside(ty: &Type) -> &Type {
    match (ungrouped(ty), argument(ty)) {
        (Type::Path(path), Some(one)) if of_std(path, &POINTERS) => inside(one),
        _ => ty,
    }
}

/// Returns the only type of this file that a faulty type mentions: the body was meant to be of it, or to be it. A job that
/// has a handler of its own is not meant.
fn mentioned(ty: &Type) -> Option<Type> {
    /// Collects the words that are a type alone: no part of a path, and without arguments.
    fn words(tokens: TokenStream, found: &mut Vec<Ident>) {
        let is = |token: Option<&TokenTree>, sign: char| matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign);
        let all: Vec<_> = tokens.into_iter().collect();
        for (place, token) in all.iter().enumerate() {
            let (before, after) = (place.checked_sub(1).and_then(|place| all.get(place)), all.get(place + 1));
            match token {
                TokenTree::Ident(word) if !found.contains(word) => {
                    let is_alone = !is(before, ':') && !is(after, ':') && !is(after, '<');
                    found.extend(is_alone.then(|| word.clone()));
                }
                TokenTree::Group(group) => words(group.stream(), found),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    words(ty.to_token_stream(), &mut found);
    // A keyword such as `dyn` is not a type.
    let types = found.into_iter().filter_map(|word| syn::parse2(word.into_token_stream()).ok());
    let mut plain = types.filter(is_plain);
    let one = plain.next().filter(|_| plain.next().is_none())?;
    (!has_handler(&one)).then_some(one)
}

/// Returns the type if it could be the body.
fn sound(ty: &Type) -> Option<Type> {
    let mut faults = Faults::default();
    check(ty, &mut faults).filter(|_| faults.is_empty())
}

/// Returns the body type from the `Vec` of bodies that a batch handler takes.
pub(super) fn check_batch(written: &Type, faults: &mut Faults) -> Option<Type> {
    if let Some(one) = of_vec(written) {
        return check(one, faults);
    }
    let text = spelt(written);
    let one = match ungrouped(written) {
        Type::Slice(slice) => Some(&*slice.elem),
        Type::Reference(reference) => match ungrouped(&reference.elem) {
            Type::Slice(slice) => Some(&*slice.elem),
            other => Some(of_vec(other).unwrap_or(other)),
        },
        Type::Array(array) => Some(&*array.elem),
        Type::Path(path) if of_std(path, &["VecDeque", "Box", "Option", "HashSet", "BTreeSet"]) => argument(written)
            .map(|one| match ungrouped(one) {
                Type::Slice(slice) => &*slice.elem,
                other => other,
            }),
        Type::Path(_) => Some(written),
        _ => None,
    };
    let name = one.map_or_else(|| "Body".to_owned(), spelt);
    faults.at(
        written,
        format!(
            "expected a `Vec` of bodies as the first parameter of a batch handler, got `{text}`: write `Vec<{name}>`, \
             spelt out if that is an alias"
        ),
    );
    // A plain name may be an alias of a `Vec`, which we cannot see.
    one.filter(|one| !std::ptr::eq(*one, written) || is_defined(one)).and_then(sound).or_else(|| mentioned(written))
}

/// Checks whether this is written as a `Vec`.
pub(super) fn is_vec(ty: &Type) -> bool {
    of_vec(ty).is_some()
}

/// Returns the `T` of `Vec<T>`.
fn of_vec(ty: &Type) -> Option<&Type> {
    let Type::Path(TypePath { qself: None, path, .. }) = ungrouped(ty) else { return None };
    path.segments.last().filter(|last| last.ident == "Vec")?;
    argument(ty)
}

/// Returns the only type argument of a path.
pub(super) fn argument(ty: &Type) -> Option<&Type> {
    let Type::Path(TypePath { path, .. }) = ungrouped(ty) else { return None };
    let PathArguments::AngleBracketed(arguments) = &path.segments.last()?.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(one) if arguments.args.len() == 1 => Some(one),
        _ => None,
    }
}

fn foreign(owned: &str, text: &str) -> String {
    format!("expected a type of your own as the body, got `{text}`: wrap it in one, `struct Name({owned});`")
}

/// Prints the type as people write it: token streams print a space between any two tokens.
pub(super) fn spelt(ty: &Type) -> String {
    let text = ty.to_token_stream().to_string();
    ["& ", " :: ", " < ", " <", " >", " ,"].iter().fold(text, |text, spaced| text.replace(spaced, spaced.trim()))
}

/// Checks whether the type is pulpo's type of this name, which belongs after the body or around it:
/// by its path, or by its name if the file has no other type of that name.
pub(super) fn is_pulpos(ty: &Type, name: &str) -> bool {
    let Type::Path(TypePath { qself: None, path, .. }) = ungrouped(ty) else { return false };
    let Some(last) = path.segments.last().filter(|last| last.ident == name) else { return false };
    match path.segments.len() {
        1 => !is_own(&last.ident),
        2 => path.segments[0].ident == "pulpo",
        _ => false,
    }
}

/// Checks whether it is one of these types of std: by its path, or by its name if the file has no
/// other type of that name.
fn of_std(TypePath { qself, path, .. }: &TypePath, names: &[&str]) -> bool {
    let Some(last) = path.segments.last() else {
        return false;
    };
    let roots = ["std", "core", "alloc"];
    let known = qself.is_none() && names.iter().any(|name| last.ident == name);
    // `Vec` and `std::vec::Vec`, but not `my::Vec`.
    let alone = path.segments.len() == 1 && !matches!(last.arguments, PathArguments::Parenthesized(_));
    let rooted = path.segments.first().is_some_and(|first| roots.iter().any(|root| first.ident == root));
    known && (rooted || alone && !is_own(&last.ident))
}

enum Found {
    Nothing,
    /// The type is `_`, which rustc reports.
    Placeholder,
    Fault(TokenStream, String),
}

/// Returns the first token that a body type must not contain, and the reason.
fn unusable(tokens: TokenStream) -> Found {
    let mut tokens = tokens.into_iter();
    while let Some(token) = tokens.next() {
        let fault = match &token {
            TokenTree::Group(group) => match unusable(group.stream()) {
                Found::Nothing => continue,
                found => return found,
            },
            TokenTree::Punct(quote) if quote.as_char() == '\'' => {
                let Some(TokenTree::Ident(name)) = tokens.next() else {
                    continue;
                };
                if name == "static" {
                    continue;
                }
                let lifetime = TokenStream::from_iter([token, name.clone().into()]);
                return Found::Fault(
                    lifetime,
                    format!(
                        "expected a body that owns its content, got the lifetime `'{name}`: the message is gone when the job runs"
                    ),
                );
            }
            TokenTree::Ident(ident) if ident == "_" => return Found::Placeholder,
            TokenTree::Ident(ident) if ident == "Self" => {
                "expected a free function as handler: `Self` has no meaning there, write the type out"
            }
            TokenTree::Ident(ident) if ident == "impl" => {
                "expected one type as the body, got `impl`: the worker must know what to decode"
            }
            _ => continue,
        };
        return Found::Fault(token.into(), fault.to_owned());
    }
    Found::Nothing
}
