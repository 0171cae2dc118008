//! The type of the body: a type of the user's own, owned and spelt out.
//!
//! What only rustc can know, whether it is `Serialize` for instance, is left
//! to the bounds in the output; and what rustc always refuses in the signature
//! itself, `_` or an unsized type, is left to that one error.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::{GenericArgument, PathArguments, Type, TypePath};

use crate::faults::Faults;

/// Types of everybody's, which cannot stand for one request type: rustc would
/// speak of the orphan rule, and of a trait that the user did not write.
const FOREIGN: [&str; 26] = [
    "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64", "u128",
    "usize", "BTreeMap", "BTreeSet", "HashMap", "HashSet", "Option", "PathBuf", "Result", "String", "Vec", "VecDeque",
];

pub(super) fn check(written: &Type, faults: &mut Faults) -> Option<Type> {
    let text = spelt(written);
    let fault = match ungrouped(written) {
        Type::Reference(reference) if is_named(&reference.elem, "Context") => {
            format!("expected the body as the first parameter, got `{text}`: write it after the body")
        }
        Type::Path(_) if is_named(written, "State") && text.contains("State<") => {
            format!("expected the body as the first parameter, got `{text}`: write it after the body")
        }
        Type::Reference(reference) => {
            let owned = spelt(&reference.elem);
            format!("expected the body by value, got a reference: write `{owned}`")
        }
        Type::Infer(_) | Type::TraitObject(_) | Type::Slice(_) => return None,
        Type::ImplTrait(_) => {
            format!("expected one type as the body, got `{text}`: the worker must know what to decode")
        }
        Type::Tuple(tuple) if tuple.elems.is_empty() => {
            "expected a type of your own as the body, got `()`: for a job without content write `struct Name;`"
                .to_owned()
        }
        Type::Tuple(_) | Type::Array(_) => foreign(&text),
        Type::Path(path) if is_foreign(path) => foreign(&text),
        // A macro that stands for a type is expanded after us.
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
    None
}

/// The type of one body, of the `Vec` of them that a batch handler takes.
pub(super) fn check_batch(written: &Type, faults: &mut Faults) -> Option<Type> {
    if let Some(one) = of_vec(written) {
        return check(one, faults);
    }
    let text = spelt(written);
    let one = match ungrouped(written) {
        Type::Slice(slice) => spelt(&slice.elem),
        Type::Reference(reference) => match ungrouped(&reference.elem) {
            Type::Slice(slice) => spelt(&slice.elem),
            other => of_vec(other).map_or_else(|| spelt(other), spelt),
        },
        Type::Path(_) => text.clone(),
        _ => "Body".to_owned(),
    };
    faults.at(
        written,
        format!(
            "expected a `Vec` of bodies as the first parameter of a batch handler, got `{text}`: write `Vec<{one}>`"
        ),
    );
    None
}

/// The `T` of `Vec<T>`.
fn of_vec(ty: &Type) -> Option<&Type> {
    let Type::Path(TypePath { qself: None, path, .. }) = ungrouped(ty) else { return None };
    let last = path.segments.last().filter(|last| last.ident == "Vec")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(one) if arguments.args.len() == 1 => Some(one),
        _ => None,
    }
}

fn foreign(text: &str) -> String {
    format!("expected a type of your own as the body, got `{text}`: wrap it in one, `struct Name({text});`")
}

/// The type as people write it: tokens print with a space between each two.
fn spelt(ty: &Type) -> String {
    let text = ty.to_token_stream().to_string();
    ["& ", " :: ", " < ", " <", " >", " ,"].iter().fold(text, |text, spaced| text.replace(spaced, spaced.trim()))
}

/// Without the invisible group of a `macro_rules` fragment, or parentheses.
fn ungrouped(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => ungrouped(&group.elem),
        Type::Paren(paren) => ungrouped(&paren.elem),
        other => other,
    }
}

/// Whether it looks like something of pulpo's that comes after the body. Only
/// for advice: a body type of the user's own may have any name.
fn is_named(ty: &Type, name: &str) -> bool {
    matches!(ungrouped(ty), Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == name))
}

fn is_foreign(TypePath { qself, path, .. }: &TypePath) -> bool {
    let Some(last) = path.segments.last() else {
        return false;
    };
    // `Vec` and `std::vec::Vec`, but not `my::Vec`; and a plain `Result` is
    // anybody's alias, which with its arguments is still the one of std.
    let of_std =
        path.segments.first().is_some_and(|first| ["std", "core", "alloc"].iter().any(|root| first.ident == root));
    let known = FOREIGN.iter().any(|name| last.ident == name);
    let alone = path.segments.len() == 1 && !matches!(last.arguments, PathArguments::Parenthesized(_));
    qself.is_none() && known && (alone || of_std)
}

enum Found {
    Nothing,
    /// `_`, which rustc reports.
    Placeholder,
    Fault(TokenStream, String),
}

/// The first token that a body type must not contain, and why.
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
