//! `publish --messages`: whole messages in wire form, one per line.

use std::error::Error;
use std::io::Write;

use serde_json::json;

use super::input::{BATCH, BadLines, handler_of, read};
use super::interrupt::Interrupt;
use super::show::{self, counted};
use super::{Done, Format, Open};
use crate::instance::Pulpo;
use crate::keys::Publication;
use crate::message::{Incoming, with_new_key};
use crate::queue::{Enqueued, NewMessage, QueueError};
use crate::registry::{Handler, Registry};
use crate::report::chain;
use crate::telemetry;

pub(super) fn run(source: &str, format: Format, open: Open<'_>, out: &mut dyn Write) -> Done {
    let registry = Registry::collect()?;
    let (from, text) = read(source)?;
    let (mut good, mut bad) = (Vec::new(), BadLines::of(from));
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match message(line.trim(), &registry) {
            Ok(message) => good.push(message),
            Err(error) => bad.report(index + 1, &*error)?,
        }
    }
    let bad = bad.end()?;
    if bad > 0 {
        return Err(format!("{bad} of {} lines are bad, and nothing was published", bad + good.len()).into());
    }
    let (enqueued, end) = enqueue(&open()?, good)?;
    tell(&enqueued, end.as_deref(), format, out)?;
    match end {
        None => Ok(()),
        Some(why) => Err(format!("published the first {} of the messages: {why}", enqueued.len()).into()),
    }
}

/// Reads a message, which may still lack a queue.
fn message(text: &str, registry: &Registry) -> Result<(NewMessage, &'static Handler), Box<dyn Error>> {
    let incoming = Incoming::read(text.as_bytes())?;
    let wanted = incoming.header.request_type();
    let handler = handler_of(registry, wanted)?;
    let policy = handler.policy();
    // The author of a whole message knows its body, so the body must fit.
    let unfit = |error| format!("the body does not fit {} of {wanted:?}: {error}", handler.body_type());
    handler.check(incoming.body()).map_err(unfit)?;
    let keys = handler.keys(incoming.body()).map_err(unfit)?;
    let mut written = incoming.header.unique.clone();
    written.key = written.key.or(keys.unique);
    let unique = written.read((policy.unique_for, policy.on_duplicate))?;
    // The body fits, so it has this program's shape, unless its author says otherwise.
    let text = with_new_key(text, "shape", &format!("\"{}\"", handler.shape()));
    let mut new = NewMessage::new("", wanted, text).limit_keys(keys.limits);
    new.priority = incoming.header.priority.unwrap_or(policy.priority);
    new.delay = incoming.header.delay();
    new.ttr = policy.ttr;
    new.unique = unique;
    Ok((new, handler))
}

/// Enqueues the messages, and returns the effects, and why there are no more.
fn enqueue(
    pulpo: &Pulpo,
    messages: Vec<(NewMessage, &'static Handler)>,
) -> Result<(Vec<Enqueued>, Option<String>), Box<dyn Error>> {
    let options = pulpo.options();
    let new: Vec<_> = messages
        .into_iter()
        .map(|(mut new, handler)| {
            handler.policy().queue.unwrap_or(&options.default_queue).clone_into(&mut new.queue);
            if let Some(changed) = options.handlers.get(handler.request_type()) {
                new.ttr = changed.ttr.unwrap_or(new.ttr);
            }
            new
        })
        .collect();
    let interrupt = Interrupt::listen()?;
    let mut all = Vec::with_capacity(new.len());
    for (number, batch) in new.chunks(BATCH).enumerate() {
        if number > 0 && interrupt.has_come() {
            return Ok((all, Some("stopped by a signal".to_owned())));
        }
        match pulpo.queue().enqueue(batch.to_vec()) {
            Ok(enqueued) => {
                for (new, one) in batch.iter().zip(&enqueued) {
                    let is_new = usize::from(one.publication == Publication::New);
                    telemetry::published(&new.request_type, &new.queue, is_new);
                }
                all.extend(enqueued);
            }
            Err(QueueError::PartOfBatch { ids, source, .. }) => {
                all.extend(ids.into_iter().map(Enqueued::new));
                return Ok((all, Some(chain(&*source))));
            }
            Err(error) if all.is_empty() => return Err(error.into()),
            Err(error) => return Ok((all, Some(chain(&error)))),
        }
    }
    Ok((all, None))
}

fn tell(enqueued: &[Enqueued], broken_off: Option<&str>, format: Format, out: &mut dyn Write) -> Done {
    if format.json {
        let ids: Vec<_> = enqueued.iter().map(|one| &one.id).collect();
        let publications: Vec<_> = enqueued.iter().map(|one| one.publication.as_str()).collect();
        let mut told = json!({ "ids": ids, "publications": publications });
        if let Some(why) = broken_off {
            told["error"] = why.into();
        }
        show::json_line(out, &told)?;
    } else if broken_off.is_none() {
        let count = |publication| enqueued.iter().filter(|one| one.publication == publication).count() as u64;
        let mut told = format!("published {}", counted(count(Publication::New), "message"));
        for publication in [Publication::Kept, Publication::Replaced].into_iter().filter(|one| count(*one) > 0) {
            told.push_str(&format!(", {publication} {}", count(publication)));
        }
        writeln!(out, "{told}")?;
    }
    Ok(out.flush()?)
}
