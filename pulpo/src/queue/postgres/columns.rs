//! New messages as the columns of a statement.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::connection::Parameter;
use crate::queue::NewMessage;

/// The limits of one statement: a number of messages, and of bytes.
const MOST_AT_ONCE: usize = 10_000;
const MOST_BYTES_AT_ONCE: usize = 32 << 20;

const LONGEST_TTR: i64 = 31_556_952_000_000;

/// New messages, column by column.
#[derive(Debug, Default)]
pub(super) struct Columns<'a> {
    queues: Vec<&'a str>,
    request_types: Vec<String>,
    priorities: Vec<i64>,
    dues: Vec<Option<DateTime<Utc>>>,
    ttrs: Vec<i64>,
    texts: Vec<&'a str>,
    limit_keys: Vec<Option<String>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(messages: impl Iterator<Item = &'a NewMessage>) -> Self {
        let mut columns = Self::default();
        for message in messages {
            columns.queues.push(&message.queue);
            columns.request_types.push(request_type(message));
            columns.priorities.push(message.priority.get().into());
            columns.dues.push(due(message));
            columns.ttrs.push(ttr(message.ttr));
            columns.texts.push(&message.text);
            columns.limit_keys.push(limit_key(message));
        }
        columns
    }

    /// Returns the first seven parameters of a statement.
    pub(super) fn parameters(&self) -> Vec<Parameter<'_>> {
        vec![
            (&self.queues, Type::TEXT_ARRAY),
            (&self.request_types, Type::TEXT_ARRAY),
            (&self.priorities, Type::INT8_ARRAY),
            (&self.dues, Type::TIMESTAMPTZ_ARRAY),
            (&self.ttrs, Type::INT8_ARRAY),
            (&self.texts, Type::TEXT_ARRAY),
            (&self.limit_keys, Type::TEXT_ARRAY),
        ]
    }
}

/// Returns the limit key as its column stores it: PostgreSQL cannot store NUL.
pub(super) fn limit_key(message: &NewMessage) -> Option<String> {
    message.limit_keys.joined().map(|key| key.replace('\0', "\u{FFFD}0"))
}

/// Returns the request type as its column stores it. The text of the message has
/// the whole of it.
pub(super) fn request_type(message: &NewMessage) -> String {
    const LONGEST: usize = 500;
    let end = message.request_type.floor_char_boundary_of(LONGEST);
    message.request_type[..end].replace('\0', "\u{FFFD}")
}

trait FloorCharBoundary {
    fn floor_char_boundary_of(&self, most: usize) -> usize;
}

impl FloorCharBoundary for str {
    fn floor_char_boundary_of(&self, most: usize) -> usize {
        let mut end = most.min(self.len());
        while !self.is_char_boundary(end) {
            end -= 1;
        }
        end
    }
}

/// Returns when a delay ends. Times that PostgreSQL cannot represent are long
/// past.
pub(super) fn due(message: &NewMessage) -> Option<DateTime<Utc>> {
    message.delay.filter(|due| *due > DateTime::UNIX_EPOCH)
}

pub(super) fn ttr(ttr: Duration) -> i64 {
    i64::try_from(ttr.as_millis()).unwrap_or(i64::MAX).clamp(1, LONGEST_TTR)
}

/// Divides messages into parts that fit into one statement.
pub(super) fn parts<'a, 'm>(messages: &'a [&'m NewMessage]) -> impl Iterator<Item = &'a [&'m NewMessage]> {
    let mut rest = messages;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let count = rest.iter().take(MOST_AT_ONCE).take_while(|message| {
            let fits = bytes == 0 || bytes + message.text.len() <= MOST_BYTES_AT_ONCE;
            bytes += message.text.len().max(1);
            fits
        });
        let (part, after) = rest.split_at(count.count());
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}
