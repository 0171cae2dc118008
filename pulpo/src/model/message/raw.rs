//! JSON as it is written in a message, for values that producers write in more than one way.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// Returns the text of a JSON string; `None` for other values, and for a string that is not Unicode (half of a
/// surrogate pair).
pub(super) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let written = value.get();
    match written.strip_prefix('"')?.strip_suffix('"')? {
        plain if !plain.contains('\\') => Some(Cow::Borrowed(plain)),
        _ => serde_json::from_str(written).ok().map(Cow::Owned),
    }
}

/// Returns a JSON number as it is written, with or without quotation marks around it.
pub(super) fn number(value: &RawValue) -> Option<Cow<'_, str>> {
    let number = if value.get().starts_with('"') { text(value)? } else { Cow::Borrowed(value.get()) };
    let is_number = number.trim().strip_prefix(['-', '+']).unwrap_or(number.trim());
    is_number.starts_with(|c: char| c.is_ascii_digit()).then_some(number)
}
