//! Unique keys and limits: fields of the body, rates and maximum numbers of runs.

use std::time::Duration;

use proc_macro2::{Group, TokenStream, TokenTree};
use syn::{Ident, LitStr};

use super::value::{self, fault};
use crate::attr::Written;

/// The part of a message that makes it unique.
pub(crate) enum Unique {
    /// The whole body.
    Body,
    /// These fields of the body.
    Fields(Fields),
}

/// Fields of a body as written: `account_id`, `address.city`, `0`.
pub(crate) struct Fields(pub(crate) Vec<TokenStream>);

impl Fields {
    /// Prints the fields: `account_id, address.city`, `type` for `r#type`.
    pub(crate) fn named(&self) -> String {
        let field = |tokens: &TokenStream| tokens.to_string().replace(' ', "").replace("r#", "");
        self.0.iter().map(field).collect::<Vec<_>>().join(", ")
    }
}

/// How long a message keeps its unique key.
#[derive(Clone, Copy)]
pub(crate) enum UniqueFor {
    Unfinished,
    Waiting,
    Time(Duration),
}

/// The treatment of a message whose unique key is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnDuplicate {
    Keep,
    Replace,
    Reject,
}

/// A maximum number of starts per period.
#[derive(Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) starts: u32,
    pub(crate) period: Duration,
}

/// The number of elements in the longest tuple that serde can serialize.
const MOST_FIELDS: usize = 16;

const UNIQUE_FOR: [(&str, UniqueFor); 2] = [("unfinished", UniqueFor::Unfinished), ("waiting", UniqueFor::Waiting)];

const ON_DUPLICATE: [(&str, OnDuplicate); 3] =
    [("keep", OnDuplicate::Keep), ("replace", OnDuplicate::Replace), ("reject", OnDuplicate::Reject)];

pub(super) fn unique(written: &Written) -> syn::Result<Unique> {
    match written {
        Written::List(group) => fields(group, "unique").map(Unique::Fields),
        _ => Ok(Unique::Body),
    }
}

/// Parses the fields in the parentheses of this argument.
pub(super) fn fields(group: &Group, name: &str) -> syn::Result<Fields> {
    let alone = if name == "unique" { ", or `unique` alone for the whole body" } else { "" };
    let wish = format!("expected fields of the body such as `{name}(account_id, address.city)`{alone}");
    let mut all: Vec<TokenStream> = Vec::new();
    let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
    let mut pieces: Vec<_> = tokens.split(is_comma).collect();
    // One trailing comma is allowed.
    if pieces.len() > 1 && pieces.last().is_some_and(|last| last.is_empty()) {
        pieces.pop();
    }
    for piece in pieces {
        let field: TokenStream = piece.iter().cloned().collect();
        if piece.is_empty() {
            let got = if tokens.is_empty() { "none" } else { "a comma too many" };
            return Err(fault(group, format!("{wish}, got {got}")));
        }
        if !is_field(piece) {
            return Err(fault(&field, format!("{wish}, got `{field}`")));
        }
        if all.iter().any(|other| other.to_string() == field.to_string()) {
            return Err(fault(&field, "expected each field once, got it again: remove it"));
        }
        if all.len() == MOST_FIELDS {
            return Err(fault(
                &field,
                format!("expected at most {MOST_FIELDS} fields, got more: name what they are in"),
            ));
        }
        all.push(field);
    }
    Ok(Fields(all))
}

/// Checks for names and numbers with points between them.
fn is_field(tokens: &[TokenTree]) -> bool {
    let mut expects_name = true;
    for token in tokens {
        let fits = match token {
            TokenTree::Ident(name) => expects_name && name != "self",
            // `0`, or a tuple index of two parts, `0.1`.
            TokenTree::Literal(literal) => {
                expects_name && literal.to_string().split('.').all(|part| part.parse::<u32>().is_ok())
            }
            TokenTree::Punct(point) => !expects_name && point.as_char() == '.',
            TokenTree::Group(_) => false,
        };
        if !fits {
            return false;
        }
        expects_name = !expects_name;
    }
    !expects_name
}

pub(super) fn unique_for(value: TokenStream) -> syn::Result<UniqueFor> {
    let form = "\"unfinished\", \"waiting\" or a time such as \"1h\"";
    let literal = text(&value, form)?;
    let text = literal.value();
    match known(&UNIQUE_FOR, &text) {
        Ok(known) => Ok(known),
        Err(advice) if !advice.is_empty() => Err(fault(&literal, format!("expected {form}, got \"{text}\"{advice}"))),
        Err(_) => match value::parse(&literal, &text, form)? {
            Duration::ZERO => Err(fault(&literal, "expected a time longer than zero: leave `unique` out")),
            time => Ok(UniqueFor::Time(time)),
        },
    }
}

/// Returns the word itself too, for a message about an argument that conflicts with it.
pub(super) fn on_duplicate(value: TokenStream) -> syn::Result<(LitStr, OnDuplicate)> {
    let form = "\"keep\", \"replace\" or \"reject\"";
    let literal = text(&value, form)?;
    let text = literal.value();
    match known(&ON_DUPLICATE, &text) {
        Ok(known) => Ok((literal, known)),
        Err(advice) => Err(fault(&literal, format!("expected {form}, got \"{text}\"{advice}"))),
    }
}

/// Returns what the word stands for, or else a question about the one that was probably meant.
fn known<T: Copy>(words: &[(&str, T)], word: &str) -> Result<T, String> {
    let known = words.iter().find(|(known, _)| *known == word);
    known.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(known, _)| *known).collect();
        value::did_you_mean(word, &words)
    })
}

pub(super) fn rate(value: TokenStream) -> syn::Result<Rate> {
    let form = "a rate in a string such as \"10/1s\", at most ten starts in a second";
    let literal = text(&value, form)?;
    let text = literal.value();
    let wrong = |why: &str| fault(&literal, format!("expected {form}, got \"{text}\"{why}"));
    let (starts, period) = text.split_once('/').ok_or_else(|| wrong(""))?;
    let unit = period.trim();
    let starts = starts.trim().parse::<u32>().map_err(|_| wrong(""))?;
    // `10/s` lacks a 1.
    if humantime::parse_duration(unit).is_err() && humantime::parse_duration(&format!("1{unit}")).is_ok() {
        return Err(wrong(&format!(": write \"{starts}/1{unit}\"")));
    }
    let period = value::parse(&literal, unit, form)?;
    if starts == 0 || period.is_zero() {
        return Err(wrong(": with it no job would ever start"));
    }
    Ok(Rate { starts, period })
}

/// Parses a string. A word or a number instead gets advice with the intended string.
fn text(value: &TokenStream, form: &str) -> syn::Result<LitStr> {
    syn::parse2::<LitStr>(value.clone()).ok().filter(|literal| literal.suffix().is_empty()).ok_or_else(|| {
        let written = value.to_string();
        let unspaced: String = written.split_whitespace().collect();
        let is_time = |text: &str| humantime::parse_duration(text).is_ok();
        let is_rate = |(starts, period): (&str, &str)| starts.parse::<u32>().is_ok() && is_time(period);
        let advice = match (syn::parse2::<Ident>(value.clone()), written.parse::<u32>()) {
            (Ok(word), _) => format!(": write \"{word}\""),
            (_, Ok(starts)) if form.contains("rate") => format!(": write \"{starts}/1s\" for each second"),
            _ if form.contains("rate") && unspaced.split_once('/').is_some_and(is_rate) => {
                format!(": write \"{unspaced}\"")
            }
            _ if form.contains("a time") && is_time(&unspaced) => format!(": write \"{unspaced}\""),
            _ => String::new(),
        };
        fault(value, format!("expected {form}, got `{written}`{advice}"))
    })
}

pub(super) fn limit(value: TokenStream) -> syn::Result<u32> {
    value::number(&value, 1, "a number of jobs that may run at the same time, from 1 to 4294967295")
}
