//! Parse: the arguments of the attribute as they stand there, each token with
//! its place. What they mean, and whether it is sound, is for `check`.
//!
//! The list is cut at its commas first and each piece is read on its own, so
//! that one malformed argument does not hide what is wrong with the others.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::LitStr;
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};

use crate::faults::Faults;

/// The arguments, in the order in which they were written.
pub(crate) struct Arguments {
    pub(crate) request_type: RequestType,
    pub(crate) named: Vec<Named>,
}

/// The one argument without a name.
pub(crate) enum RequestType {
    Written(LitStr),
    /// There is none.
    Missing,
    /// There is one, which has been reported already.
    Faulty,
}

/// `name = value`; the value has at least one token.
pub(crate) struct Named {
    pub(crate) name: Ident,
    pub(crate) value: TokenStream,
}

/// The arguments that have a name, each with an example of its use.
pub(crate) const KNOWN: [(&str, &str); 10] = [
    ("queue", r#"queue = "mail""#),
    ("priority", "priority = 10"),
    ("max_attempts", "max_attempts = 5"),
    ("backoff", r#"backoff = "1s..1h""#),
    ("ttr", r#"ttr = "60s""#),
    ("timeout", r#"timeout = "30s""#),
    ("batch", "batch = 100"),
    ("linger", r#"linger = "2s""#),
    ("alias", r#"alias = "old_name""#),
    ("crate", "crate = ::pulpo"),
];

/// What people write who take the request type for a named argument.
const NAMES_OF_THE_REQUEST_TYPE: [&str; 3] = ["request_type", "name", "type"];

impl Arguments {
    pub(crate) fn parse(tokens: TokenStream, faults: &mut Faults) -> Self {
        let mut arguments = Self { request_type: RequestType::Missing, named: Vec::new() };
        for (index, piece) in pieces(tokens, faults).into_iter().enumerate() {
            if let Ok(literal) = syn::parse2::<LitStr>(piece.clone()) {
                arguments.unnamed(literal, faults);
                continue;
            }
            match named.parse2(piece.clone()) {
                Ok(argument) => arguments.named.push(argument),
                Err(fault) if index > 0 || is_known(&piece) => faults.push(fault),
                Err(_) => {
                    arguments.request_type = RequestType::Faulty;
                    faults.at(&piece, not_a_request_type(&piece));
                }
            }
        }
        arguments.named_request_type(faults);
        arguments
    }

    fn unnamed(&mut self, literal: LitStr, faults: &mut Faults) {
        if !matches!(self.request_type, RequestType::Missing) {
            faults.at(
                &literal,
                format!(
                    "expected one request type, got a second: for messages under a former name write `alias = {}`",
                    literal.token()
                ),
            );
            return;
        }
        if !self.named.is_empty() {
            faults.at(&literal, "expected the request type as the first argument, got it after others");
        }
        self.request_type = RequestType::Written(literal);
    }

    /// `request_type = "x"` is one mistake: not a missing request type and an
    /// unknown argument.
    fn named_request_type(&mut self, faults: &mut Faults) {
        if !matches!(self.request_type, RequestType::Missing) {
            return;
        }
        let meant = |argument: &Named| NAMES_OF_THE_REQUEST_TYPE.iter().any(|name| argument.name.unraw() == name);
        if let Some(index) = self.named.iter().position(meant) {
            let Named { name, value } = self.named.remove(index);
            faults.at(&name, format!("expected the request type without a name: write {value} as the first argument"));
            self.request_type = RequestType::Faulty;
        }
    }
}

/// The tokens between the commas.
fn pieces(tokens: TokenStream, faults: &mut Faults) -> Vec<TokenStream> {
    let mut pieces = Vec::new();
    let mut piece = TokenStream::new();
    for token in tokens {
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == ',' => {
                if piece.is_empty() {
                    faults.at(punct, "expected an argument before this comma");
                } else {
                    pieces.push(std::mem::take(&mut piece));
                }
            }
            _ => piece.extend([token]),
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

fn named(input: ParseStream<'_>) -> syn::Result<Named> {
    let whole = input.fork().parse::<TokenStream>()?;
    let written = |wish: String| syn::Error::new_spanned(&whole, wish);
    // Any identifier: `crate` and `type` are keywords.
    let Ok(name) = input.call(Ident::parse_any) else {
        return Err(written(format!("expected an argument such as `queue = \"mail\"`, got `{whole}`")));
    };
    let example = example(&name);
    if input.parse::<syn::Token![=]>().is_err() {
        return Err(written(format!("expected `{example}`, got `{whole}`")));
    }
    let value = input.parse::<TokenStream>()?;
    if value.is_empty() {
        return Err(written(format!("expected a value after `{name} =`: write `{example}`")));
    }
    Ok(Named { name, value })
}

/// How an argument of this name is written, if anybody knows.
fn example(name: &Ident) -> String {
    KNOWN
        .iter()
        .find(|(known, _)| name == known)
        .map_or_else(|| format!("{name} = …"), |(_, example)| (*example).to_owned())
}

/// Whether a piece begins with the name of an argument.
fn is_known(piece: &TokenStream) -> bool {
    match piece.clone().into_iter().next() {
        Some(TokenTree::Ident(name)) => KNOWN.iter().any(|(known, _)| name == known),
        _ => false,
    }
}

/// The advice for something at the place of the request type.
fn not_a_request_type(piece: &TokenStream) -> String {
    let expected = "expected the request type in a string such as \"send_email\"";
    match syn::parse2::<Ident>(piece.clone()) {
        Ok(name) => format!("{expected}, got `{name}`: write \"{name}\""),
        Err(_) => format!("{expected}, got `{piece}`"),
    }
}
