//! The wire form of a body that is not a JSON object: `{"payload": …}`.

use serde::Deserialize;
use serde_json::value::RawValue;

/// The key for bodies that are not JSON objects.
pub(super) const PAYLOAD: &str = "payload";

/// Returns the value of `payload`, if the text is an object with that key alone.
pub(crate) fn only_payload(text: &str) -> Option<&str> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wrapped<'a> {
        #[serde(borrow)]
        payload: &'a RawValue,
    }
    // Most bodies show by their first key that it is not `payload` alone.
    if !looks_wrapped(text) {
        return None;
    }
    serde_json::from_str::<Wrapped<'_>>(text).ok().map(|wrapped| wrapped.payload.get())
}

/// Returns whether a reader may take this object for pulpo's wrapping of a body: its first key is `payload`, or is
/// escaped and could be.
pub(super) fn looks_wrapped(object: &str) -> bool {
    let first = object.trim_start().strip_prefix('{').and_then(|rest| rest.trim_start().strip_prefix('"'));
    first.is_some_and(|rest| {
        let key = rest.split('"').next().unwrap_or_default();
        key == PAYLOAD || key.contains('\\')
    })
}
