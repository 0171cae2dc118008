//! Filters for messages.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::{BodyField, MessageState, StoredMessage};
use crate::message::MessageId;

/// A filter for messages: a message must match all of its conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Filter {
    /// With one of these ids; an empty set matches nothing.
    pub ids: Option<BTreeSet<MessageId>>,
    /// In one of these states; empty matches all states but
    /// [done](MessageState::Done).
    pub states: Vec<MessageState>,
    /// In this queue.
    pub queue: Option<String>,
    /// With this request type.
    pub request_type: Option<String>,
    /// In its state since before this time.
    pub older_than: Option<DateTime<Utc>>,
    /// In its state since this time or later.
    pub newer_than: Option<DateTime<Utc>>,
    /// Published before this time.
    pub published_before: Option<DateTime<Utc>>,
    /// Published at this time or later.
    pub published_after: Option<DateTime<Utc>>,
    /// With this text in their last error, ignoring ASCII case.
    pub reason: Option<String>,
    /// With all of these values in their bodies.
    pub body: Vec<BodyField>,
    /// After this message in a list: older messages, with smaller ids.
    pub after: Option<MessageId>,
    /// Down to this message in a list, where ids are numbers. It bounds the list, however rare its matches are.
    pub down_to: Option<MessageId>,
    /// At most this many, newest first.
    pub limit: Option<usize>,
}

impl Filter {
    /// Matches all messages.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Matches the message with this id. Call it again to match further ones.
    #[must_use]
    pub fn id(self, id: MessageId) -> Self {
        self.ids([id])
    }

    /// Matches only messages with these ids, and with those named before.
    #[must_use]
    pub fn ids(mut self, ids: impl IntoIterator<Item = MessageId>) -> Self {
        self.ids.get_or_insert_default().extend(ids);
        self
    }

    /// Matches only messages in this state. Call it again to match further
    /// states.
    #[must_use]
    pub fn state(mut self, state: MessageState) -> Self {
        self.states.push(state);
        self
    }

    /// Matches only messages in this queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Matches only messages with this request type.
    #[must_use]
    pub fn request_type(mut self, request_type: impl Into<String>) -> Self {
        self.request_type = Some(request_type.into());
        self
    }

    /// Matches only messages that entered their state before this time: for
    /// example buried ones that were buried before it.
    #[must_use]
    pub fn older_than(mut self, time: DateTime<Utc>) -> Self {
        self.older_than = Some(time);
        self
    }

    /// Matches only messages that entered their state at this time or later.
    #[must_use]
    pub fn newer_than(mut self, time: DateTime<Utc>) -> Self {
        self.newer_than = Some(time);
        self
    }

    /// Matches only messages that were published before this time, whatever has
    /// happened to them since.
    #[must_use]
    pub fn published_before(mut self, time: DateTime<Utc>) -> Self {
        self.published_before = Some(time);
        self
    }

    /// Matches only messages that were published at this time or later.
    #[must_use]
    pub fn published_after(mut self, time: DateTime<Utc>) -> Self {
        self.published_after = Some(time);
        self
    }

    /// Matches only messages with this text in their last error, ignoring ASCII
    /// case.
    #[must_use]
    pub fn reason(mut self, text: impl Into<String>) -> Self {
        self.reason = Some(text.into());
        self
    }

    /// Matches only messages with this value in their body. Call it again to require further values.
    #[must_use]
    pub fn body(mut self, field: BodyField) -> Self {
        self.body.push(field);
        self
    }

    /// Matches only messages after this one in a list: older ones.
    #[must_use]
    pub fn after(mut self, id: MessageId) -> Self {
        self.after = Some(id);
        self
    }

    /// Matches only messages down to this one in a list: it, and newer ones.
    #[must_use]
    pub fn down_to(mut self, id: MessageId) -> Self {
        self.down_to = Some(id);
        self
    }

    /// Matches at most this many messages, newest first.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Returns whether the filter allows this state.
    #[must_use]
    pub fn has_state(&self, state: MessageState) -> bool {
        if self.states.is_empty() { state != MessageState::Done } else { self.states.contains(&state) }
    }

    /// Returns whether it has no conditions but a queue, states and a limit.
    #[must_use]
    pub fn is_by_queue_and_state(&self) -> bool {
        let rest = Self { states: Vec::new(), queue: None, limit: None, ..self.clone() };
        rest == Self::default()
    }

    /// Returns whether the body in this text matches.
    #[must_use]
    pub fn fits_body(&self, text: &[u8]) -> bool {
        self.body.iter().all(|field| field.fits(text))
    }

    /// Returns whether this message matches, ignoring the limit. A condition on
    /// a value that the queue does not know is not met.
    #[must_use]
    pub fn fits(&self, message: &StoredMessage) -> bool {
        let (since, published) = (message.since, message.enqueued_at);
        self.ids.as_ref().is_none_or(|ids| ids.contains(&message.id))
            && self.has_state(message.state)
            && self.queue.as_ref().is_none_or(|queue| *queue == message.queue)
            && self.request_type.as_ref().is_none_or(|wanted| *wanted == message.request_type)
            && self.older_than.is_none_or(|time| since.is_some_and(|at| at < time))
            && self.newer_than.is_none_or(|time| since.is_some_and(|at| at >= time))
            && self.published_before.is_none_or(|time| published.is_some_and(|at| at < time))
            && self.published_after.is_none_or(|time| published.is_some_and(|at| at >= time))
            && self.reason.as_ref().is_none_or(|text| message.last_error.as_deref().is_some_and(|e| has(e, text)))
            && self.fits_body(&message.text)
            && self.after.as_ref().is_none_or(|after| number(&message.id) < number(after))
            && self.down_to.as_ref().is_none_or(|last| number(&message.id) >= number(last))
    }
}

/// Returns whether the text contains the part, ignoring ASCII case.
fn has(text: &str, part: &str) -> bool {
    text.to_ascii_lowercase().contains(&part.to_ascii_lowercase())
}

/// Returns a sort key that orders numeric ids as numbers.
fn number(id: &MessageId) -> (usize, &str) {
    (id.as_str().len(), id.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str) -> StoredMessage {
        StoredMessage::new(id.into(), "mail", MessageState::Buried, "{}")
    }

    #[test]
    fn an_unknown_field_does_not_fit() {
        let now = Utc::now();
        let mut message = message("7");
        assert!(Filter::all().fits(&message));
        let all = Filter::all;
        for narrow in [
            all().older_than(now),
            all().newer_than(now),
            all().published_before(now),
            all().published_after(now),
            all().reason(""),
        ] {
            assert!(!narrow.fits(&message), "{narrow:?}");
        }
        message.since = Some(now);
        message.enqueued_at = Some(now - chrono::TimeDelta::days(40));
        assert!(all().published_before(now).fits(&message) && !all().published_after(now).fits(&message));
        message.last_error = Some("Connection REFUSED".to_owned());
        assert!(Filter::all().newer_than(now).fits(&message) && !Filter::all().older_than(now).fits(&message));
        assert!(Filter::all().reason("connection refused").fits(&message));
        assert!(!Filter::all().reason("timeout").fits(&message));
    }

    #[test]
    fn no_id_is_not_any_id() {
        assert!(!Filter::all().ids([]).fits(&message("7")));
        assert!(Filter::all().id("6".into()).id("7".into()).fits(&message("7")));
    }

    #[test]
    fn later_entries_of_a_list_have_smaller_numbers() {
        let after = |id: &str| Filter::all().after(id.into()).fits(&message("9"));
        assert_eq!([after("8"), after("9"), after("10")], [false, false, true]);
        let down_to = |id: &str| Filter::all().down_to(id.into()).fits(&message("9"));
        assert_eq!([down_to("8"), down_to("9"), down_to("10")], [true, true, false]);
    }
}
