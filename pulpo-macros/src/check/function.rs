//! The function: a `fn` or `async fn` that takes the body by value, and its other parameters.
//!
//! Only its attributes and its signature are checked. The block between the braces is between the
//! user and rustc.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{ParseStream, Parser as _};
use syn::{
    Attribute, FnArg, GenericArgument, GenericParam, Pat, PatType, PathArguments, Receiver, ReturnType, Safety,
    Signature, Token, Type, Visibility,
};

use super::attributes::inherited;
use super::{body, parameter};
use crate::faults::Faults;
use crate::source;

pub(crate) struct Function {
    /// Whether the signature could be parsed. If not, rustc has reported the reason.
    pub(crate) readable: bool,
    pub(crate) name: Ident,
    /// Whether it is a `const fn`, which is a fault.
    pub(crate) constant: bool,
    /// Whether its last parameter is `...`, which is a fault.
    pub(crate) variadic: bool,
    /// The attributes that are faults, as text without spaces.
    refused: Vec<String>,
    /// The attributes that everything we add for this function must carry too.
    pub(crate) attributes: Vec<Attribute>,
    /// Whether it takes `self`, which means that it is in an `impl` or a trait.
    pub(crate) method: bool,
    /// The type of the body. If it is faulty, the type that was meant.
    pub(crate) body: Option<Type>,
    /// The types of the other parameters.
    pub(crate) others: Vec<Type>,
    pub(crate) returned: ReturnType,
    /// The keyword, if present.
    pub(crate) asynchronous: Option<Token![async]>,
}

impl Function {
    /// Checks whether this is the content of an attribute that is a fault, and must not come back.
    pub(crate) fn has_removed(&self, attribute: &Group) -> bool {
        attribute.delimiter() == Delimiter::Bracket && self.refused.contains(&unspaced(attribute.stream()))
    }

    /// Returns what is known about a function with a syntax error in its signature.
    fn unreadable(item: TokenStream, batch: bool) -> Self {
        let mut words = item.clone().into_iter().skip_while(|token| !is_word(token, "fn")).skip(1);
        let name = match words.next() {
            Some(TokenTree::Ident(name)) => name,
            _ => Ident::new("unreadable", Span::call_site()),
        };
        let parameters = words.find_map(|token| match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => Some(group.stream()),
            _ => None,
        });
        let first: TokenStream = parameters.into_iter().flatten().take_while(|token| !is_comma(token)).collect();
        let mut faults = Faults::default();
        let typed = |input: ParseStream<'_>| {
            input.call(Pat::parse_single)?;
            input.parse::<Option<Token![:]>>()?;
            input.parse::<Type>()
        };
        let alone = |first| syn::parse2(first).ok().filter(looks_like_a_type);
        let body = typed
            .parse2(first.clone())
            .ok()
            .or_else(|| alone(first))
            .and_then(|ty| if batch { body::check_batch(&ty, &mut faults) } else { body::check(&ty, &mut faults) });
        Self {
            readable: false,
            name,
            constant: false,
            variadic: false,
            refused: Vec::new(),
            method: false,
            attributes: Vec::new(),
            body,
            others: Vec::new(),
            returned: ReturnType::Default,
            asynchronous: None,
        }
    }
}

/// Checks whether this is a type and not the name of a parameter.
fn looks_like_a_type(ty: &Type) -> bool {
    let first = ty.to_token_stream().to_string().chars().next();
    !first.is_some_and(char::is_lowercase)
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

fn is_comma(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',')
}

/// Checks whether a `fn` comes before the first braces or parentheses, and no word before it makes another item of it,
/// as in `static F: fn()`.
fn is_a_function(item: &TokenStream) -> bool {
    const OTHERS: [&str; 4] = ["let", "static", "type", "use"];
    let is_block = |token: &TokenTree| matches!(token, TokenTree::Group(group) if matches!(group.delimiter(), Delimiter::Brace | Delimiter::Parenthesis));
    let is_colon = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ':');
    let head: Vec<_> = item.clone().into_iter().take_while(|token| !is_block(token)).collect();
    let Some(place) = head.iter().position(|token| is_word(token, "fn")) else { return false };
    let is_other = |token: &TokenTree| is_colon(token) || OTHERS.iter().any(|other| is_word(token, other));
    !head[..place].iter().any(is_other)
}

/// Checks whether a type mentions one of the function's generic parameters.
fn mentions_a_parameter(ty: &Type, signature: &Signature) -> bool {
    fn mentions(tokens: TokenStream, names: &[&Ident]) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(word) => names.contains(&&word),
            TokenTree::Group(group) => mentions(group.stream(), names),
            _ => false,
        })
    }
    let names: Vec<_> = signature
        .generics
        .params
        .iter()
        .map(|parameter| match parameter {
            GenericParam::Lifetime(lifetime) => &lifetime.lifetime.ident,
            GenericParam::Type(ty) => &ty.ident,
            GenericParam::Const(constant) => &constant.ident,
        })
        .collect();
    mentions(ty.to_token_stream(), &names)
}

/// Checks the function. With `batch`, the body is the item type of a `Vec`; `None` if the parameter decides.
pub(super) fn check(item: TokenStream, batch: Option<bool>, faults: &mut Faults) -> Option<Function> {
    let (attributes, signature, block) = match header.parse2(item.clone()) {
        Ok(header) => header,
        // Usually half-typed code: rustc has reported the error, but still expands us.
        Err(_) if is_a_function(&item) => return Some(Function::unreadable(item, batch.unwrap_or(false))),
        Err(_) => {
            faults.push(not_a_function(item));
            return None;
        }
    };
    match block.into_iter().next() {
        Some(TokenTree::Group(_)) => {}
        Some(TokenTree::Punct(end)) if end.as_char() == ';' => {
            faults.at(&signature, "expected a function with a body: a declaration cannot handle a job");
            return None;
        }
        // The arrow may be misspelt, for instance.
        _ => return Some(Function::unreadable(item, batch.unwrap_or(false))),
    }
    qualifiers(&signature, faults);
    let refused = refused(&attributes, faults);
    let generic = generics(&signature, faults);
    let (body, others) = parameters(&signature, faults);
    returned(&signature, faults);
    let mut of_generics = Faults::default();
    // Other faults in the types of a generic function are rarely separate mistakes.
    let of_types = if generic { &mut of_generics } else { &mut *faults };
    for other in &others {
        parameter::check(other, of_types);
    }
    let is_batch = |ty: &Type| batch.unwrap_or_else(|| body::is_vec(ty));
    let body = body
        .and_then(|ty| if is_batch(ty) { body::check_batch(ty, of_types) } else { body::check(ty, of_types) })
        .filter(|body| !generic || !mentions_a_parameter(body, &signature));
    let others = others.into_iter().cloned().collect();
    Some(Function {
        // rustc refuses to return it, and we would only repeat that.
        readable: !matches!(&signature.output, ReturnType::Type(_, ty) if is_unsized(ty)),
        name: signature.ident,
        constant: signature.constness.is_some(),
        variadic: signature.variadic.is_some(),
        refused,
        method: matches!(signature.inputs.first(), Some(FnArg::Receiver(_))),
        attributes: attributes.iter().filter_map(inherited).collect(),
        body,
        others,
        returned: signature.output,
        asynchronous: signature.asyncness,
    })
}

/// Parses attributes, signature, and the rest, which is the block.
fn header(input: ParseStream<'_>) -> syn::Result<(Vec<Attribute>, Signature, TokenStream)> {
    let attributes = input.call(Attribute::parse_outer)?;
    input.parse::<Visibility>()?;
    // A declaration in an `unsafe extern` block, which is reported as one.
    let safe = input.fork();
    if safe.parse::<Ident>().is_ok_and(|word| word == "safe") && safe.peek(Token![fn]) {
        input.parse::<Ident>()?;
    }
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

/// Reports attributes with which the function cannot be called as a handler. Returns their text.
fn refused(attributes: &[Attribute], faults: &mut Faults) -> Vec<String> {
    let mut refused = Vec::new();
    for attribute in attributes {
        let path = attribute.path();
        let fault = if path.is_ident("target_feature") {
            "expected a handler that every processor can run: remove `target_feature`, and put what needs it into a \
             function of its own, called where `is_x86_feature_detected!` or the like finds it"
        } else if path.segments.len() == 2 && path.segments[0].ident == "tokio" && path.segments[1].ident == "main" {
            "expected an `async fn` alone: remove `tokio::main`, a worker has a runtime for all its handlers"
        } else {
            continue;
        };
        faults.at(attribute, fault);
        refused.push(unspaced(attribute.meta.to_token_stream()));
    }
    refused
}

/// Prints tokens without the spaces between them, which depend on where the tokens come from.
fn unspaced(tokens: TokenStream) -> String {
    tokens.to_string().replace(char::is_whitespace, "")
}

/// Reports generics as a fault. Returns whether there are any.
fn generics(signature: &Signature, faults: &mut Faults) -> bool {
    let generics = &signature.generics;
    let parameters = &generics.params;
    if parameters.iter().all(|parameter| matches!(parameter, GenericParam::Lifetime(_))) && !parameters.is_empty() {
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
        let place =
            if clause.predicates.is_empty() { clause.where_token.to_token_stream() } else { clause.to_token_stream() };
        faults.at(place, "expected a handler without a `where` clause: there is nothing that it could bound");
    }
    !parameters.is_empty()
}

/// Reports what is returned and borrows from a parameter. Without a parameter to borrow from, rustc reports it.
fn returned(signature: &Signature, faults: &mut Faults) {
    let is_borrowed =
        |input: &FnArg| matches!(input, FnArg::Typed(typed) if borrowed(typed.ty.to_token_stream()).is_some());
    let ReturnType::Type(_, ty) = &signature.output else { return };
    if !signature.inputs.iter().any(is_borrowed) {
        return;
    }
    if let Some(borrowed) = borrowed(ty.to_token_stream()) {
        faults.at(
            &borrowed,
            format!("expected a result that owns its content, got the borrowed `{borrowed}`: own it, or borrow it for `'static`"),
        );
    }
}

/// Checks for a type that has no known size, wherever it stands.
fn is_unsized(ty: &Type) -> bool {
    match ty {
        Type::TraitObject(_) | Type::Slice(_) => true,
        Type::Path(path) if path.path.is_ident("str") => true,
        // Those of std that hold their values themselves.
        Type::Path(path) => path.path.segments.last().is_some_and(|last| {
            let holds = ["Option", "Result", "Vec"].iter().any(|name| last.ident == name);
            let PathArguments::AngleBracketed(arguments) = &last.arguments else { return false };
            let is_unsized =
                |argument: &GenericArgument| matches!(argument, GenericArgument::Type(ty) if is_unsized(ty));
            holds && arguments.args.iter().any(is_unsized)
        }),
        Type::Group(group) => is_unsized(&group.elem),
        _ => false,
    }
}

/// Returns the first anonymous lifetime of a type, or the `&` of a reference without one.
fn borrowed(tokens: TokenStream) -> Option<TokenStream> {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match &token {
            TokenTree::Group(group) => {
                if let Some(found) = borrowed(group.stream()) {
                    return Some(found);
                }
            }
            TokenTree::Punct(punct) if punct.as_char() == '&' => {
                let has_lifetime = matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == '\'');
                if !has_lifetime {
                    return Some(token.into());
                }
            }
            TokenTree::Punct(punct) if punct.as_char() == '\'' => {
                if let Some(name) = tokens.next_if(|next| is_word(next, "_")) {
                    return Some([token, name].into_iter().collect());
                }
            }
            _ => {}
        }
    }
    None
}

/// Returns the type of the body, and the types of the parameters after it.
fn parameters<'a>(signature: &'a Signature, faults: &mut Faults) -> (Option<&'a Type>, Vec<&'a Type>) {
    if let Some(variadic) = &signature.variadic {
        faults.at(variadic, "expected a handler of a fixed number of parameters: remove the variadic one");
    }
    for input in &signature.inputs {
        let (FnArg::Typed(PatType { attrs, .. }) | FnArg::Receiver(Receiver { attrs, .. })) = input;
        let cfg = |attribute: &&Attribute| attribute.path().is_ident("cfg");
        if let Some(attribute) = attrs.iter().find(cfg) {
            faults.at(
                attribute,
                "expected a parameter without `cfg`: put it on the function, and write one function for each case",
            );
        }
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
        // rustc reports `self` in a function that stands alone.
        Some(FnArg::Receiver(_)) if source::is_free(&signature.ident) => return (None, Vec::new()),
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
        // Only the first parameter can be `self`, and rustc reports any other.
        FnArg::Receiver(_) => None,
    };
    (Some(&first.ty), inputs.filter_map(typed).collect())
}
