//! Names: request types, aliases and queues.

use proc_macro2::TokenStream;
use syn::LitStr;

use super::value;

/// The longest name, in bytes: beanstalkd's limit for a tube.
const LONGEST: usize = 200;

/// The characters allowed beside letters and digits. A request type may contain those of a queue
/// name, and the colon, which many systems use as a separator.
const IN_REQUEST_TYPE: &str = "-_.:/+;$()";
const IN_QUEUE: &str = "-_./+;$()";

pub(super) fn request_type(literal: LitStr) -> syn::Result<LitStr> {
    sound(literal, "a request type", IN_REQUEST_TYPE)
}

pub(super) fn alias(value: TokenStream) -> syn::Result<LitStr> {
    let literal = value::string(value, "a former request type", "old_name")?;
    sound(literal, "a request type", IN_REQUEST_TYPE)
}

/// Parses a queue name, which must be a valid name of a beanstalkd tube.
pub(super) fn queue(value: TokenStream) -> syn::Result<String> {
    let literal = sound(value::string(value, "a queue", "mail")?, "a queue", IN_QUEUE)?;
    let name = literal.value();
    if name.starts_with('-') {
        return Err(syn::Error::new_spanned(
            &literal,
            format!("expected a queue that does not begin with a hyphen, got `{name}`"),
        ));
    }
    Ok(name)
}

fn sound(literal: LitStr, what: &str, others: &str) -> syn::Result<LitStr> {
    let name = literal.value();
    if !literal.suffix().is_empty() {
        let wrong = format!("expected {what} in a string without a suffix, got `{}`: write {name:?}", literal.token());
        return Err(syn::Error::new_spanned(literal, wrong));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    let wrong = if name.is_empty() {
        format!("expected {what} of 1 to {LONGEST} characters, got an empty string")
    } else if let Some(stranger) = name.chars().find(|c| !fits(*c)) {
        format!("expected {what} of ASCII letters, digits and `{others}`, got {stranger:?} in {name:?}")
    } else if name.len() > LONGEST {
        format!("expected {what} of at most {LONGEST} characters, got {}", name.len())
    } else {
        return Ok(literal);
    };
    Err(syn::Error::new_spanned(literal, wrong))
}
