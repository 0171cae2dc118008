//! The function: `fn` or `async fn` of the body by value, and what else it takes.
//!
//! Only its attributes and its signature are looked at. What stands between
//! the braces is the user's and rustc's.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{ParseStream, Parser as _};
use syn::{Attribute, FnArg, ReturnType, Safety, Signature, Token, Type, Visibility};

use super::attributes::inherited;
use super::body;
use crate::faults::Faults;

pub(crate) struct Function {
    pub(crate) name: Ident,
    /// Whether it is a `const fn`, which is a fault.
    pub(crate) constant: bool,
    /// What everything that we add for this function must carry too.
    pub(crate) attributes: Vec<Attribute>,
    /// The type of the body, if it is sound.
    pub(crate) body: Option<Type>,
    /// The types of the other parameters.
    pub(crate) others: Vec<Type>,
    pub(crate) returned: ReturnType,
    /// The keyword, if it is there.
    pub(crate) asynchronous: Option<Token![async]>,
}

/// With `batch`, the body is one of several, in a `Vec`.
pub(super) fn check(item: TokenStream, batch: bool, faults: &mut Faults) -> Option<Function> {
    let (attributes, signature, block) = match header.parse2(item.clone()) {
        Ok(header) => header,
        Err(_) => {
            faults.push(not_a_function(item));
            return None;
        }
    };
    if !matches!(block.into_iter().next(), Some(TokenTree::Group(_))) {
        faults.at(&signature, "expected a function with a body: a declaration cannot handle a job");
        return None;
    }
    qualifiers(&signature, faults);
    let generic = generics(&signature, faults);
    // The type of a generic function's parameter is rarely another mistake.
    let (body, others) = parameters(&signature, faults);
    let body = body
        .filter(|_| !generic)
        .and_then(|ty| if batch { body::check_batch(ty, faults) } else { body::check(ty, faults) });
    let others = others.into_iter().cloned().collect();
    Some(Function {
        name: signature.ident,
        constant: signature.constness.is_some(),
        attributes: attributes.iter().filter_map(inherited).collect(),
        body,
        others,
        returned: signature.output,
        asynchronous: signature.asyncness,
    })
}

/// Attributes, signature, and the rest: the block.
fn header(input: ParseStream<'_>) -> syn::Result<(Vec<Attribute>, Signature, TokenStream)> {
    let attributes = input.call(Attribute::parse_outer)?;
    input.parse::<Visibility>()?;
    Ok((attributes, input.parse()?, input.parse()?))
}

fn not_a_function(item: TokenStream) -> syn::Error {
    let rest = |input: ParseStream<'_>| {
        input.call(Attribute::parse_outer)?;
        input.parse::<Visibility>()?;
        input.parse::<TokenStream>()
    };
    // `struct SendEmail` of `pub struct SendEmail { … }`.
    let head: TokenStream = rest
        .parse2(item.clone())
        .unwrap_or(item)
        .into_iter()
        .take(2)
        .take_while(|token| matches!(token, TokenTree::Ident(_)))
        .collect();
    syn::Error::new_spanned(
        &head,
        format!("expected a function: #[pulpo::handler] goes on the `fn` that does the job, got `{head}`"),
    )
}

fn qualifiers(signature: &Signature, faults: &mut Faults) {
    if let Some(token) = &signature.constness {
        faults.at(token, "expected a plain `fn` as handler, got a `const fn`: remove `const`");
    }
    if let Safety::Unsafe(token) = &signature.safety {
        faults.at(
            token,
            "expected a safe function as handler: remove `unsafe`, and put what needs it into an `unsafe` block",
        );
    }
    if let Some(abi) = &signature.abi {
        faults.at(abi, format!("expected a plain `fn` as handler: remove `{}`", abi.to_token_stream()));
    }
}

/// Whether it is generic, which is a fault.
fn generics(signature: &Signature, faults: &mut Faults) -> bool {
    let generics = &signature.generics;
    let parameters = &generics.params;
    if parameters.iter().all(|parameter| matches!(parameter, syn::GenericParam::Lifetime(_))) && !parameters.is_empty()
    {
        faults.at(
            generics,
            "expected a handler without lifetimes: take the body by value, of a type that owns its content",
        );
    } else if !parameters.is_empty() {
        faults.at(
            generics,
            "expected a handler that is not generic: one request type has one body type, so write a handler for each",
        );
    } else if let Some(clause) = &generics.where_clause {
        faults.at(clause, "expected a handler without a `where` clause: there is nothing that it could bound");
    }
    !parameters.is_empty()
}

/// The type of the body, and those of the parameters after it.
fn parameters<'a>(signature: &'a Signature, faults: &mut Faults) -> (Option<&'a Type>, Vec<&'a Type>) {
    if let Some(variadic) = &signature.variadic {
        faults.at(variadic, "expected a handler of a fixed number of parameters: remove the variadic one");
    }
    let mut inputs = signature.inputs.iter();
    let first = match inputs.next() {
        None => {
            let mut parentheses = TokenStream::new();
            signature.paren_token.surround(&mut parentheses, |_| {});
            let name = &signature.ident;
            faults.at(parentheses, format!("expected a parameter, the body of the job: write `fn {name}(body: Body)`"));
            return (None, Vec::new());
        }
        Some(FnArg::Receiver(receiver)) => {
            faults.at(
                receiver,
                "expected a free function as handler, got a method: a worker has no `self` to call it on",
            );
            return (None, Vec::new());
        }
        Some(FnArg::Typed(first)) => first,
    };
    let typed = |input: &'a FnArg| match input {
        FnArg::Typed(other) => Some(&*other.ty),
        // Only the first parameter can be `self`: rustc says so.
        FnArg::Receiver(_) => None,
    };
    (Some(&first.ty), inputs.filter_map(typed).collect())
}
