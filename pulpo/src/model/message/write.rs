//! Writes a message: its id, its header, and its body, wrapped if it is not an object.

use serde::ser::{Serialize, SerializeMap as _, SerializeStruct as _, Serializer};
use serde_json::value::RawValue;

use super::checked::Checked;
use super::header::{Header, WithBody};
use super::id::MessageId;
use super::payload::{PAYLOAD, looks_wrapped};

/// Writes the body alone.
pub(super) fn body<B: Serialize + ?Sized>(body: &B) -> Result<Box<RawValue>, serde_json::Error> {
    serde_json::value::to_raw_value(&Checked { root: "body", key: "", value: body })
}

/// A message whose body is already written.
pub(super) struct WithBodyText<'a> {
    pub(super) id: Option<&'a MessageId>,
    pub(super) header: &'a Header,
    pub(super) body: &'a RawValue,
}

impl Serialize for WithBodyText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(id) = self.id {
            map.serialize_entry("id", id)?;
        }
        let is_object = self.body.get().starts_with('{');
        let mark = !is_object || looks_wrapped(self.body.get());
        map.serialize_entry("header", &WithBody { header: self.header, body_wrapped: mark.then_some(!is_object) })?;
        if is_object {
            map.serialize_entry("body", self.body)?;
        } else {
            map.serialize_entry("body", &Payload(self.body))?;
        }
        map.end()
    }
}

struct Payload<'a>(&'a RawValue);

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Payload", 1)?;
        object.serialize_field(PAYLOAD, self.0)?;
        object.end()
    }
}
