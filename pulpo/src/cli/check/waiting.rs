//! `check --queue`: decodes every waiting message with this program.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;

use serde_json::{Value, json};

use super::super::{Open, show};
use crate::instance::Pulpo;
use crate::message::{Incoming, MessageError};
use crate::queue::{Filter, MessageState, QueueError, StoredMessage};
use crate::registry::Registry;
use crate::report::chain;

/// Number of messages that are read at once, with their whole bodies.
const PAGE: usize = 100;

/// The faults that this program would find in the waiting messages.
#[derive(Default)]
pub(super) struct Waiting {
    seen: u64,
    /// Number that would be buried, by job, path and reason.
    buried: BTreeMap<(String, String, String), u64>,
    /// Number without a handler in this program, by request type.
    unknown: BTreeMap<String, u64>,
    /// Notes on messages that could not be read.
    unseen: Vec<String>,
}

/// Decodes what waits. If the queue does not answer, or no longer, that is the error beside what was found until then.
pub(super) fn decode(registry: &Registry, open: Open<'_>) -> (Waiting, Option<Box<dyn Error>>) {
    let mut found = Waiting::default();
    let mut before = None;
    let mut rights = Ok(());
    let decoded = open().and_then(|pulpo| {
        rights = pulpo.queue().check_rights();
        found.decode_all(registry, &pulpo, &mut before)
    });
    // What waits is decoded also for a role that may only read.
    let decoded = rights.map_err(Into::into).and(decoded);
    if let Err(error) = &decoded {
        let error = chain(&**error);
        found.unseen.push(match before.map(|before: u64| before.saturating_sub(found.seen)) {
            Some(left @ 1..) if found.seen > 0 => format!("{}: the queue no longer answers: {error}", messages(left)),
            _ => format!("the queue: {error}"),
        });
    }
    (found, decoded.err())
}

/// Returns the number of messages that wait or are running.
fn count(pulpo: &Pulpo) -> Result<u64, QueueError> {
    let stats = pulpo.queue().stats()?;
    Ok(stats.counts.iter().map(|counts| counts.ready + counts.delayed + counts.reserved).sum())
}

/// Calls `action` for each message that waits or is running, newest first.
pub(super) fn each_waiting(pulpo: &Pulpo, mut action: impl FnMut(&StoredMessage)) -> Result<(), QueueError> {
    let states = [MessageState::Ready, MessageState::Delayed, MessageState::Reserved];
    let mut filter = states.into_iter().fold(Filter::all(), Filter::state).limit(PAGE);
    loop {
        let page = pulpo.queue().list(&filter)?;
        page.iter().for_each(&mut action);
        match page.last() {
            Some(last) if page.len() == PAGE => filter = filter.after(last.id.clone()),
            _ => return Ok(()),
        }
    }
}

impl Waiting {
    /// Decodes what waits. `before` is set to the number of messages at the beginning.
    fn decode_all(
        &mut self,
        registry: &Registry,
        pulpo: &Pulpo,
        before: &mut Option<u64>,
    ) -> Result<(), Box<dyn Error>> {
        let all = *before.insert(count(pulpo)?);
        match each_waiting(pulpo, |message| self.add(registry, message)) {
            Ok(()) => {}
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => {
                let left = messages(all.saturating_sub(self.seen));
                self.unseen.push(format!("{left}: this queue cannot list what waits: {error}"));
                return Ok(());
            }
        }
        // Workers may finish messages during the listing, and new ones may arrive: neither is a fault.
        let unseen = all.min(count(pulpo)?).saturating_sub(self.seen);
        if unseen > 0 {
            self.unseen.push(format!("{} that this queue does not show", messages(unseen)));
        }
        Ok(())
    }

    fn add(&mut self, registry: &Registry, message: &StoredMessage) {
        self.seen += 1;
        let incoming = match Incoming::read(&message.text) {
            Ok(incoming) => incoming,
            Err(error) => return self.bury(message.request_type.clone(), String::new(), error.without_values()),
        };
        let request_type = incoming.header.request_type();
        let Some(handler) = registry.get(request_type) else {
            *self.unknown.entry(request_type.to_owned()).or_default() += 1;
            return;
        };
        match handler.check(incoming.body()) {
            Ok(()) => {}
            Err(MessageError::Body { path, source }) => {
                // The values of a body may be confidential, so only the kind of fault is shown.
                let error = source.to_string();
                let error = error.rsplit_once(" at line ").map_or(error.as_str(), |(error, _)| error).to_owned();
                let is_plain = ["missing field", "unknown field", "its `Deserialize` panicked"];
                let error = if is_plain.iter().any(|plain| error.starts_with(plain)) {
                    error
                } else {
                    "does not fit the type of its handler; `peek` tells why".to_owned()
                };
                self.bury(request_type.to_owned(), without_indices(&path), error);
            }
            Err(error) => self.bury(request_type.to_owned(), String::new(), error.without_values()),
        }
    }

    fn bury(&mut self, job: String, path: String, reason: String) {
        *self.buried.entry((job, path, reason)).or_default() += 1;
    }

    /// Returns the number of messages that were decoded.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Returns the number of different faults.
    pub(super) fn troubles(&self) -> usize {
        self.buried.len() + self.unknown.len() + self.unseen.len()
    }

    pub(super) fn as_json(&self) -> Value {
        let buried = self.buried.iter().map(
            |((job, path, reason), count)| json!({ "job": job, "path": path, "reason": reason, "messages": count }),
        );
        let unknown = self.unknown.iter().map(|(job, count)| json!({ "job": job, "messages": count }));
        json!({
            "looked_at": self.seen,
            "would_be_buried": buried.collect::<Vec<_>>(),
            "unknown_types": unknown.collect::<Vec<_>>(),
            "not_seen": self.unseen,
        })
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        // A message that cannot be read has no job, and a fault may have no path.
        let part = |text: &str| if text.is_empty() { String::new() } else { format!("{text}: ") };
        for ((job, path, reason), count) in &self.buried {
            let line = format!("{}{}{reason}: {} would be buried", part(job), part(path), messages(*count));
            writeln!(out, "{}", show::visible(&line))?;
        }
        for (job, count) in &self.unknown {
            let number = messages(*count);
            let line = format!("{}no handler in this program: {number} would wait, and then be buried", part(job));
            writeln!(out, "{}", show::visible(&line))?;
        }
        for unseen in &self.unseen {
            writeln!(out, "not seen: {}", show::visible(unseen))?;
        }
        writeln!(out, "decoded {} that wait", messages(self.seen))
    }
}

/// Writes a number of messages.
fn messages(count: u64) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{count} messages") }
}

/// Removes list indices from a path, so that messages with one fault are counted together.
fn without_indices(path: &str) -> String {
    let mut parts = path.split('[');
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(']') {
            Some((index, rest)) if index.bytes().all(|byte| byte.is_ascii_digit()) => {
                all.push_str("[]");
                all.push_str(rest);
            }
            _ => {
                all.push('[');
                all.push_str(part);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_cannot_be_read_has_no_name_before_its_fault() {
        let mut waiting = Waiting::default();
        waiting.bury(String::new(), String::new(), "expected a message".to_owned());
        waiting.bury("a".to_owned(), "body.b".to_owned(), "no".to_owned());
        let mut out = Vec::new();
        waiting.print(&mut out).expect("printed");
        let expected = "expected a message: 1 message would be buried\na: body.b: no: 1 message would be buried\n\
                        decoded 0 messages that wait\n";
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }
}
