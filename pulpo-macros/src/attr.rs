//! Parse: the arguments of the attribute as written, each token with its span. `check` decides what
//! they mean and whether they are valid.
//!
//! The list is cut into pieces first and each piece is parsed separately, so that one malformed
//! argument does not hide the faults of the others.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use syn::LitStr;
use syn::ext::IdentExt as _;

use crate::faults::Faults;
use crate::table::{Known, known};

/// The arguments, in the order in which they were written.
pub(crate) struct Arguments {
    pub(crate) request_type: RequestType,
    pub(crate) named: Vec<Named>,
    /// The arguments of the table that are malformed, which has been reported.
    pub(crate) malformed: Vec<&'static str>,
}

/// The argument without a name.
pub(crate) enum RequestType {
    Written(LitStr),
    /// There is no such argument.
    Missing,
    /// The argument is malformed, and that has been reported.
    Faulty,
}

/// A named argument. If its name is in the table, its form is one that the table allows.
pub(crate) struct Named {
    pub(crate) name: Ident,
    pub(crate) written: Written,
}

/// The part of an argument that follows its name.
pub(crate) enum Written {
    /// Nothing follows: `name`
    Word,
    /// At least one token: `name = value`
    Value(TokenStream),
    /// Any tokens in parentheses: `name(tokens)`
    List(Group),
    /// Any tokens in parentheses, and at least one after them: `name(tokens) = value`
    ListAndValue(Group, TokenStream),
}

impl Written {
    /// Returns the source text after the name.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Word => String::new(),
            Self::Value(value) => format!(" = {value}"),
            Self::List(group) => group.to_string(),
            Self::ListAndValue(group, value) => format!("{group} = {value}"),
        }
    }
}

/// Names that people give the request type when they take it for a named argument.
const NAMES_OF_THE_REQUEST_TYPE: [&str; 6] = ["request_type", "name", "type", "job", "job_type", "kind"];

impl Arguments {
    pub(crate) fn parse(tokens: TokenStream, table: &[Known], faults: &mut Faults) -> Self {
        let mut arguments = Self { request_type: RequestType::Missing, named: Vec::new(), malformed: Vec::new() };
        for (index, piece) in pieces(tokens, table, faults).into_iter().enumerate() {
            if let Ok(literal) = syn::parse2::<LitStr>(piece.clone()) {
                arguments.unnamed(literal, faults);
                continue;
            }
            match named(&piece, table) {
                Ok(Named { name, written: Written::Word }) if index == 0 && known(table, &name).is_none() => {
                    arguments.request_type = RequestType::Faulty;
                    faults.at(&piece, not_a_request_type(&piece));
                }
                Ok(argument) => arguments.named.push(argument),
                Err(fault) if index > 0 || is_known(&piece, table) => {
                    arguments
                        .malformed
                        .extend(first_word(&piece).and_then(|name| known(table, &name)).map(|known| known.name));
                    faults.push(fault);
                }
                Err(_) => {
                    arguments.request_type = RequestType::Faulty;
                    faults.at(&piece, not_a_request_type(&piece));
                }
            }
        }
        arguments.named_request_type(table, faults);
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

    /// Reports `request_type = "x"` as one mistake, not as a missing request type and an unknown argument.
    fn named_request_type(&mut self, table: &[Known], faults: &mut Faults) {
        let meant = |argument: &Named| {
            NAMES_OF_THE_REQUEST_TYPE.iter().any(|name| argument.name.unraw() == name)
                && known(table, &argument.name).is_none()
                && matches!(argument.written, Written::Value(_))
        };
        if !matches!(self.request_type, RequestType::Missing) {
            return;
        }
        if let Some(index) = self.named.iter().position(meant)
            && let Named { name, written: Written::Value(value) } = self.named.remove(index)
        {
            faults.at(&name, format!("expected the request type without a name: write {value} as the first argument"));
            self.request_type = RequestType::Faulty;
        }
    }
}

/// Splits the tokens at the commas. A missing comma is reported, and the tokens are split as if it
/// were there.
fn pieces(tokens: TokenStream, table: &[Known], faults: &mut Faults) -> Vec<TokenStream> {
    let mut pieces = Vec::new();
    let mut piece: Vec<TokenTree> = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if let TokenTree::Punct(punct) = &token
            && matches!(punct.as_char(), ',' | ';')
        {
            if punct.as_char() == ';' {
                faults.at(punct, "expected a comma between two arguments, got `;`");
            } else if piece.is_empty() {
                faults.at(punct, "expected an argument before this comma");
            }
            pieces.extend((!piece.is_empty()).then(|| piece.drain(..).collect()));
            continue;
        }
        let begins = begins_an_argument(&token, tokens.peek(), table);
        if piece.last().is_some_and(|last| ends_an_argument(last, &piece)) && begins {
            // A second name is reported separately.
            if let TokenTree::Ident(_) = token {
                faults.at(&token, format!("expected a comma before `{token}`"));
            }
            pieces.push(piece.drain(..).collect());
        }
        piece.push(token);
    }
    pieces.extend((!piece.is_empty()).then(|| piece.into_iter().collect()));
    pieces
}

/// Checks whether this token, after a complete argument, can only begin the next one.
fn begins_an_argument(token: &TokenTree, next: Option<&TokenTree>, table: &[Known]) -> bool {
    let assigned = matches!(next, Some(TokenTree::Punct(punct)) if punct.as_char() == '=');
    let listed = matches!(next, Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
    match token {
        TokenTree::Ident(name) => assigned || known(table, name).is_some_and(|_| listed || next.is_none()),
        TokenTree::Literal(literal) => literal.to_string().starts_with('"'),
        _ => false,
    }
}

/// Checks whether an argument can end with the last of these tokens.
fn ends_an_argument(last: &TokenTree, piece: &[TokenTree]) -> bool {
    match last {
        TokenTree::Punct(_) => false,
        // `retries = many`, but not the `retries` in it.
        TokenTree::Ident(_) => true,
        TokenTree::Literal(_) => true,
        TokenTree::Group(_) => piece.len() > 1,
    }
}

fn named(piece: &TokenStream, table: &[Known]) -> syn::Result<Named> {
    let written = |wish: String| syn::Error::new_spanned(piece, wish);
    let mut tokens = piece.clone().into_iter();
    // Any identifier: `crate` and `type` are keywords.
    let Some(TokenTree::Ident(name)) = tokens.next() else {
        return Err(written(format!("expected an argument such as `queue = \"mail\"`, got `{piece}`")));
    };
    let known = known(table, &name);
    let example = known.map_or_else(|| format!("{name} = …"), |known| known.example.to_owned());
    let form = match tokens.next() {
        None => Some(Written::Word),
        Some(TokenTree::Punct(punct)) if punct.as_char() == '=' => {
            let value: TokenStream = tokens.collect();
            if value.is_empty() {
                return Err(written(format!("expected a value after `{name} =`: write `{example}`")));
            }
            Some(Written::Value(value))
        }
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => match tokens.next() {
            None => Some(Written::List(group)),
            Some(TokenTree::Punct(punct)) if punct.as_char() == '=' => {
                let value: TokenStream = tokens.collect();
                if value.is_empty() {
                    return Err(written(format!("expected a value after `{name}{group} =`: write `{example}`")));
                }
                Some(Written::ListAndValue(group, value))
            }
            Some(_) => None,
        },
        Some(_) => None,
    };
    let form = form.filter(|form| {
        known.is_none_or(|known| match form {
            Written::Word => known.forms.word,
            Written::Value(_) => known.forms.value,
            Written::List(_) => known.forms.list,
            Written::ListAndValue(..) => known.forms.list_and_value,
        })
    });
    match form {
        Some(written) => Ok(Named { name, written }),
        None => Err(written(format!("expected `{example}`, got `{piece}`"))),
    }
}

/// Checks whether a piece begins with the name of an argument.
fn is_known(piece: &TokenStream, table: &[Known]) -> bool {
    first_word(piece).is_some_and(|name| known(table, &name).is_some())
}

fn first_word(piece: &TokenStream) -> Option<Ident> {
    match piece.clone().into_iter().next() {
        Some(TokenTree::Ident(name)) => Some(name),
        _ => None,
    }
}

/// Returns the advice for a piece that stands where the request type belongs.
fn not_a_request_type(piece: &TokenStream) -> String {
    let expected = "expected the request type in a string such as \"send_email\"";
    match syn::parse2::<Ident>(piece.clone()) {
        Ok(name) => format!("{expected}, got `{name}`: write \"{name}\""),
        Err(_) => format!("{expected}, got `{piece}`"),
    }
}

#[cfg(test)]
mod tests;
