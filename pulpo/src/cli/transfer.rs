//! `move`: moves all messages from one queue to another.
//!
//! A message is written into the other queue before it is deleted from this one, so a kill loses none. If the other
//! queue knows which messages it has accepted, it takes none twice either. This queue hands out no message while its
//! messages move.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::interrupt::Interrupt;
use super::show::{self, counted};
use super::{Done, Format, WrongUsage, terminal};
use crate::config::{Config, Sources};
use crate::instance::{Pulpo, SetupError};
use crate::message::MessageId;
use crate::queue::backend::Purpose;
use crate::queue::{BodyField, Filter, Imported, MessageState, QueueAdapter, QueueError, StoredMessage};
use crate::report::chain;

/// Number of messages that are read at once.
const PAGE: usize = 5000;

/// Number of messages that are moved at once.
const PART: usize = 256;

/// Number of messages by which two names of one queue are told.
const SAMPLE: usize = 10;

/// How long this queue is paused, and how often the pause is renewed: if the command is killed, the pause ends soon.
const PAUSE: Duration = Duration::from_secs(60);
const RENEW_PAUSE: Duration = Duration::from_secs(15);

/// The states of messages that can be moved: all but reserved ones.
const FREE: [MessageState; 3] = [MessageState::Ready, MessageState::Delayed, MessageState::Buried];

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  move --to beanstalkd://jobs.internal:11300
                             from the configured queue to this one
  move --to postgres://shop@db.internal/shop --dry-run
                             only count the messages
  PULPO_QUEUE=file:old my-worker move --to file:new

Ready, delayed and buried messages move, oldest first, with priority, delay and ttr; the embedded queue and PostgreSQL \
also keep attempts, reasons, and the keys of unique and limited jobs. Messages that a worker has, or that the target \
cannot keep, stay, and so do those whose unique key is taken there: the command then says so, exits with 1, and can be \
run again. During the move, the source hands out no messages.

If it is killed, nothing is lost: run it again. Between database queues no message is then duplicated; a move to or \
from beanstalkd may duplicate one.")]
pub(super) struct MoveArguments {
    /// The target queue, in the form of the key `queue`
    #[arg(long, value_name = "QUEUE")]
    to: String,
    /// Only messages with this value in their body, such as to=ada@example.com; repeated, with all of them
    #[arg(long, value_name = "FIELD=VALUE")]
    body: Vec<BodyField>,
    /// Print how many messages there are, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: Format,
}

/// The result of a move, in numbers of messages.
#[derive(Debug, Default, Serialize)]
struct Moved {
    /// Now in the other queue, and no longer in this one.
    moved: u64,
    /// Taken by a worker while they moved, so that they are in both queues.
    taken: u64,
    /// Running in a worker.
    running: u64,
    /// Refused by the other queue.
    refused: u64,
    /// Left behind, because a message of the other queue has their unique key.
    left: Vec<Left>,
}

/// A message that stays, and the message in the other queue that has its key.
#[derive(Debug, Serialize)]
struct Left {
    id: MessageId,
    taken_by: MessageId,
}

pub(super) fn run(sources: &Sources, arguments: &MoveArguments, out: &mut dyn Write) -> Done {
    let config = Config::load_from(sources)?;
    let mut other = sources.clone();
    other.overrides.push(("queue".to_owned(), arguments.to.clone()));
    let other = Config::load_from(&other)?;
    let (here, there) = (config.backend.to_string(), other.backend.to_string());
    if config.backend == other.backend {
        return Err(WrongUsage(format!("expected --to to name a queue other than {here}")).into());
    }
    let from = Pulpo::for_command(config, Purpose::Administration)?;
    let from_stores = from.queue().stores()?;
    let check = |to: &Pulpo| -> Done {
        let problem = match overlap(&from_stores, &to.queue().stores()?) {
            Some(true) => "it is the same one, or has servers in common with it".to_owned(),
            Some(false) if from.queue().outbox_ids().is_none() => return Ok(()),
            _ if !has_same_messages(&**from.queue(), &**to.queue())? => return Ok(()),
            _ => format!("it has the messages of {here}, so it is the same one, or a copy"),
        };
        Err(WrongUsage(format!("expected --to to name a queue other than {here}, got {there}: {problem}")).into())
    };
    if arguments.dry_run {
        // It must not create the target.
        match Pulpo::for_command(other, Purpose::Administration) {
            Ok(to) => check(&to)?,
            Err(SetupError::Queue(QueueError::NoQueue { .. })) => {}
            Err(error) => return Err(error.into()),
        }
        return dry_run(&from, &there, &arguments.body, arguments.format.json, out);
    }
    let to = Pulpo::for_command(other, Purpose::Publication)?;
    check(&to)?;
    let interrupt = Interrupt::listen()?;
    let mut transfer = Transfer {
        body: &arguments.body,
        from: &**from.queue(),
        to: &**to.queue(),
        here,
        moved: Moved::default(),
        refused: BTreeSet::new(),
        paused: BTreeSet::new(),
        paused_at: None,
    };
    let done = transfer.all(&interrupt);
    let Transfer { mut moved, refused, .. } = transfer;
    moved.refused = (refused.len() - moved.left.len()) as u64;
    let broke_off = match &done {
        Err(error) => Some(chain(error)),
        Ok(()) => interrupt.has_come().then(|| "interrupted; run it again to continue".to_owned()),
    };
    if arguments.format.json {
        let mut shown = serde_json::to_value(&moved)?;
        shown["to"] = json!(there);
        shown["dry_run"] = json!(false);
        shown["error"] = json!(broke_off);
        show::json(out, &shown)?;
    } else {
        for Left { id, taken_by } in &moved.left {
            let (id, other) = (show::visible(id.as_str()), show::visible(taken_by.as_str()));
            show::note(out, &format!("left {id}: its key is taken by {other} there"))?;
        }
        show::note(out, &format!("moved {} to {}", counted(moved.moved, "message"), show::visible(&there)))?;
    }
    let problems = [
        (moved.running, "left here, still running: run this again later"),
        (moved.refused, "left here, refused by the other queue: the log says why"),
        (moved.left.len() as u64, "left here: a message of the other queue has the same unique key"),
        (moved.taken, "in both queues: taken by a worker during the move"),
    ];
    let problems = problems.into_iter().filter(|(count, _)| *count > 0);
    let problems: Vec<_> =
        problems.map(|(count, why)| format!("{} {why}", counted(count, "message"))).chain(broke_off).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ").into()) }
}

/// Returns whether two queues have a server or file in common; `None` if one of them cannot tell.
fn overlap(one: &[String], other: &[String]) -> Option<bool> {
    if one.is_empty() || other.is_empty() {
        return None;
    }
    Some(one.iter().any(|store| other.contains(store)))
}

/// Returns whether both are the same queue, or one is a copy of the other. Then both have the same messages, by id, text
/// and time of publication. Only a queue that records rows of outboxes knows that time exactly; beanstalkd knows it to a
/// second.
fn has_same_messages(one: &dyn QueueAdapter, other: &dyn QueueAdapter) -> Result<bool, QueueError> {
    let is_exact = one.outbox_ids().is_some();
    if is_exact != other.outbox_ids().is_some() {
        return Ok(false);
    }
    let most_apart = if is_exact { TimeDelta::zero() } else { TimeDelta::seconds(2) };
    let sample = one.list(&FREE.into_iter().fold(Filter::all().limit(SAMPLE), Filter::state))?;
    let mut is_any_there = false;
    for message in &sample {
        let Some(there) = other.peek(&message.id)? else {
            // A worker may have finished it in the meantime.
            if one.peek(&message.id)?.is_some() {
                return Ok(false);
            }
            continue;
        };
        let is_apart = match (message.enqueued_at, there.enqueued_at) {
            (Some(here), Some(there)) => (here - there).abs() > most_apart,
            (here, there) => here.is_some() || there.is_some(),
        };
        if is_apart || message.text != there.text {
            return Ok(false);
        }
        is_any_there = true;
    }
    Ok(is_any_there)
}

fn dry_run(from: &Pulpo, there: &str, body: &[BodyField], as_json: bool, out: &mut dyn Write) -> Done {
    let [ready, delayed, running, buried] = counted_by_state(&**from.queue(), body)?;
    let all = ready + delayed + buried;
    if as_json {
        let moved = Moved { moved: all, running, ..Moved::default() };
        let mut shown = serde_json::to_value(&moved)?;
        shown["to"] = json!(there);
        shown["dry_run"] = json!(true);
        shown["error"] = json!(null);
        return show::json(out, &shown);
    }
    let there = show::visible(there);
    let told = format!(
        "would move {} to {there}: {ready} ready, {delayed} delayed, {buried} buried; {running} still running",
        counted(all, "message")
    );
    show::note(out, &told)
}

/// Counts the messages with these body fields in each state.
fn counted_by_state(queue: &dyn QueueAdapter, body: &[BodyField]) -> Result<[u64; 4], QueueError> {
    let mut sums = [0; 4];
    if body.is_empty() {
        for counts in queue.stats()?.counts {
            let all = [counts.ready, counts.delayed, counts.reserved, counts.buried];
            sums.iter_mut().zip(all).for_each(|(sum, count)| *sum += count);
        }
        return Ok(sums);
    }
    let mut page = Filter { body: body.to_vec(), ..Filter::all() }.limit(PAGE);
    loop {
        let found = queue.survey(&page, false)?.messages;
        for message in &found {
            let of = MessageState::LIVE.iter().position(|state| *state == message.state);
            of.into_iter().for_each(|place| sums[place] += 1);
        }
        match found.last().filter(|_| found.len() == PAGE) {
            Some(last) => page.after = Some(last.id.clone()),
            None => return Ok(sums),
        }
    }
}

struct Transfer<'a> {
    /// The body fields that a message must have.
    body: &'a [BodyField],
    from: &'a dyn QueueAdapter,
    to: &'a dyn QueueAdapter,
    here: String,
    moved: Moved,
    /// The messages that the other queue refuses, including those in `left`.
    refused: BTreeSet<MessageId>,
    /// The queues that this command has paused.
    paused: BTreeSet<String>,
    paused_at: Option<Instant>,
}

impl Transfer<'_> {
    /// Moves messages until no more can be moved.
    fn all(&mut self, interrupt: &Interrupt) -> Result<(), QueueError> {
        let before = self.from.stats()?;
        let moved = self.rounds(interrupt);
        // Also after an error. A queue that was paused before is paused again.
        for queue in &self.paused {
            let left = before.paused_until(queue).and_then(|until| (until - Utc::now()).to_std().ok());
            self.from.pause(queue, left.unwrap_or_default()).or_else(unknown_is_fine)?;
        }
        moved
    }

    fn rounds(&mut self, interrupt: &Interrupt) -> Result<(), QueueError> {
        loop {
            self.pause()?;
            let ids = self.ids()?;
            let round = ids.len();
            if round == 0 || interrupt.has_come() {
                break;
            }
            let progress = (round > PART).then(|| terminal::progress(round as u64));
            for part in ids.chunks(PART) {
                if interrupt.has_come() {
                    break;
                }
                self.pause()?;
                self.part(part)?;
                if let Some(progress) = &progress {
                    progress.inc(part.len() as u64);
                }
            }
            if let Some(progress) = progress {
                progress.finish_and_clear();
            }
        }
        [_, _, self.moved.running, _] = counted_by_state(self.from, self.body)?;
        Ok(())
    }

    /// Keeps workers from taking messages that are about to move.
    fn pause(&mut self) -> Result<(), QueueError> {
        if !self.from.capabilities().pauses || self.paused_at.is_some_and(|since| since.elapsed() < RENEW_PAUSE) {
            return Ok(());
        }
        for queue in queues(&self.from.stats()?) {
            self.from.pause(&queue, PAUSE).or_else(unknown_is_fine)?;
            self.paused.insert(queue);
        }
        self.paused_at = Some(Instant::now());
        Ok(())
    }

    /// Returns the ids of the messages to move, oldest first.
    fn ids(&self) -> Result<Vec<MessageId>, QueueError> {
        let mut ids = Vec::new();
        let mut after = None;
        loop {
            let mut filter = FREE.into_iter().fold(Filter::all().limit(PAGE), Filter::state);
            filter.after = after;
            filter.body = self.body.to_vec();
            let page = self.from.survey(&filter, false)?.messages;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            ids.extend(page.into_iter().map(|message| message.id).filter(|id| !self.refused.contains(id)));
        }
        ids.reverse();
        Ok(ids)
    }

    fn part(&mut self, ids: &[MessageId]) -> Result<(), QueueError> {
        let filter = FREE.into_iter().fold(Filter::all().ids(ids.iter().cloned()), Filter::state);
        let mut messages = self.from.list(&filter)?;
        messages.reverse();
        let (mut moving, mut imported) = (Vec::new(), Vec::new());
        for message in messages {
            let (id, outbox_id) = (message.id.clone(), self.once(&message));
            // A list leaves out the failed runs of its messages.
            let has_failed = message.attempts > 0 || message.last_error.is_some();
            let shown = if has_failed { self.from.peek(&id)? } else { None };
            let history = shown.map(|shown| shown.history).unwrap_or_default();
            let message = StoredMessage { history, ..message };
            match Imported::of(message) {
                Some(mut message) => {
                    message.message.outbox_id = outbox_id;
                    moving.push(id);
                    imported.push(message);
                }
                None => self.refuse(id, &"its text is not UTF-8"),
            }
        }
        let marks: Vec<_> = imported.iter().filter_map(|message| message.message.outbox_id.clone()).collect();
        let kept = self.import(moving, imported)?;
        if kept.is_empty() {
            return Ok(());
        }
        let of = kept.len() as u64;
        let deleted = self.from.delete(&Filter::all().ids(kept))?;
        self.moved.moved += deleted;
        self.moved.taken += of.saturating_sub(deleted);
        if let (Some(known), false) = (self.to.outbox_ids(), marks.is_empty()) {
            known.rows_are_gone(&marks)?;
        }
        Ok(())
    }

    /// Writes messages into the other queue, and returns the ids of those that it has.
    fn import(&mut self, ids: Vec<MessageId>, messages: Vec<Imported>) -> Result<Vec<MessageId>, QueueError> {
        if let Some(import) = self.to.import() {
            return match import.import(messages.clone()) {
                Ok(_) => Ok(ids),
                Err(error) if error.is_transient() => Err(error),
                // A message that cannot be stored does not hold back the others.
                Err(_) => self.one_by_one(ids, messages, |message| import.import(vec![message]).map(drop)),
            };
        }
        let to = self.to;
        self.one_by_one(ids, messages, |message| {
            if message.is_buried {
                return Err(QueueError::Unsupported(
                    "keep a message buried that comes from elsewhere: `kick` it first",
                ));
            }
            to.enqueue(vec![message.to_enqueue()]).map(drop)
        })
    }

    fn one_by_one(
        &mut self,
        ids: Vec<MessageId>,
        messages: Vec<Imported>,
        keep: impl Fn(Imported) -> Result<(), QueueError>,
    ) -> Result<Vec<MessageId>, QueueError> {
        let mut kept = Vec::new();
        for (id, message) in ids.into_iter().zip(messages) {
            match keep(message) {
                Ok(()) => kept.push(id),
                // The messages before it are deleted here first.
                Err(error) if error.is_transient() && !kept.is_empty() => break,
                Err(error) if error.is_transient() => return Err(error),
                Err(QueueError::Duplicate { id: taken_by }) => {
                    self.refused.insert(id.clone());
                    self.moved.left.push(Left { id, taken_by });
                }
                Err(error) => self.refuse(id, &chain(&error)),
            }
        }
        Ok(kept)
    }

    fn refuse(&mut self, id: MessageId, why: &dyn std::fmt::Display) {
        tracing::warn!(id = id.as_str(), "the other queue does not accept the message: {why}");
        self.refused.insert(id);
    }

    /// Returns the id by which the other queue recognizes the message, in case this command is killed before it deletes
    /// the message here. It exists only if this queue gives out each id once and knows exactly when it did; otherwise a
    /// new message could be mistaken for an old one.
    fn once(&self, message: &StoredMessage) -> Option<String> {
        let (published, _) = (message.enqueued_at?, self.from.outbox_ids()?);
        Some(format!("move/{}/{}/{}", self.here, message.id, published.timestamp_micros()))
    }
}

fn queues(stats: &crate::queue::Stats) -> BTreeSet<String> {
    stats.counts.iter().map(|counts| counts.queue.clone()).collect()
}

/// Accepts an unknown queue, because an empty queue may disappear.
fn unknown_is_fine(error: QueueError) -> Result<(), QueueError> {
    match error {
        QueueError::NoSuchQueue { .. } => Ok(()),
        error => Err(error),
    }
}
