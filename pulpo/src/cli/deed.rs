//! The changes that an operator makes to messages: those named by their ids, or those that a filter matches.
//!
//! The command first finds and counts the messages and asks for confirmation. Then it changes only those messages, each
//! if it still matches, so at most the counted number changes. Only if no confirmation is needed, or a list does not
//! reach all messages, it leaves a whole queue to the queue's own operations. Many messages are changed in parts, and a
//! signal stops the command between two parts.

use std::io::Write;

use clap::Args;
use serde_json::json;

use super::filter_args::FilterArgs;
use super::interrupt::Interrupt;
use super::list::keeps_done;
use super::show::{self, counted};
use super::{Done, Format, Open, WrongUsage, names, terminal};
use crate::instance::Pulpo;
use crate::message::MessageId;
use crate::queue::{Cancelled, Filter, MessageState, QueueAdapter, QueueError};
use crate::report::chain;

/// Number of messages to read at a time.
const PAGE: usize = 50_000;

/// Minimum number of messages to change at a time.
const PART: usize = 1000;

/// Number of parts for a queue that scans all its messages for each part.
const PARTS: usize = 8;

/// The states in which messages can be deleted.
pub(super) const DELETABLE: [MessageState; 4] =
    [MessageState::Ready, MessageState::Delayed, MessageState::Buried, MessageState::Done];

/// The options for confirmation.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Sure {
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    /// Print how many messages match, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: Format,
}

pub(super) fn only_ids(filters: &FilterArgs) -> Result<(), WrongUsage> {
    if filters.is_empty() { Ok(()) } else { Err(WrongUsage("expected either IDs or filters, got both".to_owned())) }
}

/// An action on messages.
pub(super) struct Deed {
    verb: &'static str,
    done: &'static str,
    /// The states in which the action is possible.
    pub(super) to: &'static [MessageState],
    /// The explanation for a message in another state.
    only: &'static str,
    act: fn(&dyn QueueAdapter, &Filter) -> Result<Touched, QueueError>,
    /// Whether it needs no confirmation outside of a terminal.
    harmless: bool,
    /// Whether it leaves out a message whose unique key is taken.
    leaves: bool,
    /// Whether to list the matching messages that are running, since they were meant too.
    names_running: bool,
    /// Whether it also works on running messages.
    reaches_runs: bool,
}

/// How many messages were changed, and how many of them are running.
#[derive(Clone, Copy, Debug, Default)]
struct Touched {
    all: u64,
    running: u64,
}

impl From<u64> for Touched {
    fn from(all: u64) -> Self {
        Self { all, running: 0 }
    }
}

impl From<Cancelled> for Touched {
    fn from(cancelled: Cancelled) -> Self {
        Self { all: cancelled.total(), running: cancelled.running }
    }
}

/// A message that was left out, and the message that has its unique key.
struct Left {
    id: MessageId,
    by: MessageId,
}

impl Left {
    fn find(queue: &dyn QueueAdapter, id: &MessageId) -> Result<Option<Self>, QueueError> {
        Ok(queue.key_taken_by(id)?.map(|by| Self { id: id.clone(), by }))
    }
}

pub(super) const KICK: Deed = Deed {
    verb: "kick",
    done: "kicked",
    to: &[MessageState::Buried],
    only: "only buried ones can be kicked",
    act: |queue, filter| queue.kick(filter).map(Touched::from),
    harmless: true,
    leaves: true,
    reaches_runs: false,
    names_running: false,
};

pub(super) const DELETE: Deed = Deed {
    verb: "delete",
    done: "deleted",
    to: &DELETABLE,
    only: "a message that a worker is running cannot be deleted",
    act: |queue, filter| queue.delete(filter).map(Touched::from),
    harmless: false,
    leaves: false,
    reaches_runs: false,
    names_running: false,
};

pub(super) const CANCEL: Deed = Deed {
    verb: "cancel",
    done: "cancelled",
    to: &[MessageState::Ready, MessageState::Delayed, MessageState::Reserved],
    only: "only waiting or running messages can be cancelled",
    act: |queue, filter| queue.cancel(filter).map(Touched::from),
    harmless: false,
    leaves: false,
    reaches_runs: true,
    names_running: false,
};

/// Deletes everything with a given value in its body.
pub(super) const ERASE: Deed = Deed { names_running: true, ..DELETE };

impl Deed {
    /// Returns whether the action deletes messages and their traces.
    fn erases(&self) -> bool {
        self.to == DELETABLE
    }

    fn report(
        &self,
        matched: u64,
        touched: Touched,
        unseen: u64,
        left: &[Left],
        sure: Sure,
        out: &mut dyn Write,
    ) -> Done {
        self.report_with(matched, touched, (unseen, &[]), left, sure, out)
    }

    /// Reports the result, with the running messages that were meant too.
    fn report_with(
        &self,
        matched: u64,
        touched: Touched,
        (unseen, running): (u64, &[MessageId]),
        left: &[Left],
        sure: Sure,
        out: &mut dyn Write,
    ) -> Done {
        if sure.format.json {
            let mut report = json!({ "matched": matched, self.done: touched.all, "dry_run": sure.dry_run });
            if self.reaches_runs {
                report["running"] = touched.running.into();
            }
            if unseen > 0 {
                report["unseen"] = unseen.into();
            }
            if !left.is_empty() {
                report["left"] = left.iter().map(|Left { id, by }| json!({ "id": id, "taken_by": by })).collect();
            }
            if self.names_running {
                report["running"] = json!(running);
            }
            return show::json(out, &report);
        }
        say_left(left, out)?;
        if sure.dry_run {
            writeln!(out, "would {} {}", self.verb, counted(matched, "message"))?;
        } else {
            let told = if touched.running > 0 { format!(", {}", told(touched)) } else { String::new() };
            writeln!(out, "{} {}{told}", self.done, counted(touched.all, "message"))?;
        }
        Ok(())
    }
}

fn say_left(left: &[Left], out: &mut dyn Write) -> Done {
    for Left { id, by } in left {
        writeln!(out, "left {}: its key is taken by {}", show::visible(id.as_str()), show::visible(by.as_str()))?;
    }
    Ok(())
}

/// Describes how many of the messages are running.
fn told(touched: Touched) -> String {
    match touched {
        Touched { all: 1, .. } => "which is running: its worker will be notified".to_owned(),
        Touched { running: 1, .. } => "of which 1 is running: its worker will be notified".to_owned(),
        Touched { running, .. } => format!("of which {running} are running: their workers will be notified"),
    }
}

/// The outcome for messages that were given by their ids.
#[derive(Default)]
struct Named<'a> {
    /// How many a dry run has found.
    matched: u64,
    touched: Vec<(&'a MessageId, Touched)>,
    left: Vec<Left>,
    problems: Vec<String>,
}

impl<'a> Named<'a> {
    fn act(&mut self, pulpo: &Pulpo, deed: &Deed, id: &'a MessageId, dry_run: bool) -> Result<(), QueueError> {
        let queue = &**pulpo.queue();
        let missing = || format!("there is no message {id}");
        let Some(known) = pulpo.resolve(id)? else {
            self.problems.push(missing());
            return Ok(());
        };
        let mut filter = Filter::all().id(known.clone());
        filter.states = deed.to.to_vec();
        if dry_run {
            self.matched += queue.list(&filter)?.len() as u64;
        } else {
            let done = (deed.act)(queue, &filter)?;
            if done.all > 0 {
                self.touched.push((id, done));
                return Ok(());
            }
        }
        match queue.peek(&known)? {
            None => self.problems.push(missing()),
            Some(message) if message.state == MessageState::Reserved && deed.to == DELETABLE => {
                let ends = message.until.map(|until| format!(" {}", show::ago(until))).unwrap_or_default();
                self.problems.push(format!(
                    "message {id} is reserved by a worker: wait until it is settled, or its lease ends{ends}"
                ));
            }
            Some(message) if !deed.to.contains(&message.state) => {
                self.problems.push(format!("message {id} is {}, and {}", message.state, deed.only));
            }
            Some(_) if deed.leaves => self.left.extend(Left::find(queue, &known)?),
            Some(_) => {}
        }
        Ok(())
    }
}

/// Acts on messages given by their ids.
pub(super) fn named(pulpo: &Pulpo, deed: &Deed, ids: &[MessageId], sure: Sure, out: &mut dyn Write) -> Done {
    let mut named = Named::default();
    for (number, id) in ids.iter().enumerate() {
        if ids[..number].contains(id) {
            // The id was given twice, and is done.
            continue;
        }
        if let Err(error) = named.act(pulpo, deed, id, sure.dry_run) {
            // The changes so far are reported.
            named.problems.push(format!("stopped at message {id}: {}", chain(&error)));
            break;
        }
    }
    let Named { matched, touched, left, mut problems } = named;
    if !left.is_empty() && !sure.dry_run {
        problems.push(format!("{} stayed buried", counted(left.len() as u64, "message")));
    }
    let done = touched.len() as u64;
    if done > 0
        && deed.erases()
        && let Err(error) = erase(&**pulpo.queue(), false)
    {
        problems.push(format!("they are deleted, but not erased from the files yet: {}", chain(&*error)));
    }
    let running = touched.iter().map(|(_, touched)| touched.running).sum();
    if sure.format.json || sure.dry_run {
        deed.report(matched + done + left.len() as u64, Touched { all: done, running }, 0, &left, sure, out)?;
    } else {
        for (id, touched) in touched {
            let told = if touched.running > 0 { format!(", {}", told(touched)) } else { String::new() };
            writeln!(out, "{} {}{told}", deed.done, show::visible(id.as_str()))?;
        }
        say_left(&left, out)?;
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ").into()) }
}

/// Acts on messages that match a filter.
pub(super) fn many(
    open: Open<'_>,
    deed: &Deed,
    filters: &FilterArgs,
    filter: &Filter,
    sure: Sure,
    out: &mut dyn Write,
) -> Done {
    filters.check()?;
    let Sure { yes, dry_run, .. } = sure;
    let asks = terminal::can_ask();
    if !(yes || dry_run || asks || deed.harmless) {
        let word = format!("not a terminal: pass --yes to {}, or --dry-run to see how many", deed.verb);
        return Err(WrongUsage(word).into());
    }
    let pulpo = open()?;
    if !deed.names_running {
        keeps_done(&pulpo, &filter.states)?;
    }
    let queue = &**pulpo.queue();
    let reaches_all = !queue.capabilities().complete_lists && filter.limit.is_none() && filter.is_by_queue_and_state();
    if reaches_all && (yes || dry_run || !asks) {
        return all(&pulpo, deed, filter, sure, out);
    }
    let Meant { messages: meant, unseen } = gather(queue, filter)?;
    if reaches_all && unseen > 0 {
        return all(&pulpo, deed, filter, sure, out);
    }
    let matched = meant.len() as u64;
    if matched == 0 {
        names::warn(&pulpo, filter);
    }
    if dry_run || matched == 0 {
        let running = running(queue, deed, filter)?;
        // Traces that an earlier command could not erase.
        let erased = if deed.names_running && !dry_run { erase(queue, true) } else { Ok(()) };
        deed.report_with(matched, Touched::default(), (unseen, &running), &[], sure, out)?;
        return erased.and(show::complete(unseen)).and(still_running(&running));
    }
    if !yes && asks {
        let count = |state| meant.iter().filter(|(_, of)| *of == state).count() as u64;
        terminal::ask(&format!("{} {}?", deed.verb, described(MessageState::ALL.map(count))))?;
    }
    let (mut touched, left, mut stopped) = touch(queue, deed, filter, meant)?;
    if deed.names_running && filter.limit.is_none() && stopped.is_none() {
        // Messages that a worker had a moment ago.
        let Meant { messages, .. } = gather(queue, filter)?;
        if !messages.is_empty() {
            let (more, _, stop) = touch(queue, deed, filter, messages)?;
            touched.all += more.all;
            stopped = stop;
        }
    }
    // Read last: the next command finds the runs that end in between.
    let running = running(queue, deed, filter)?;
    let erased = if touched.all > 0 && deed.erases() { erase(queue, !filter.body.is_empty()) } else { Ok(()) };
    if stopped.is_none() || sure.format.json {
        deed.report_with(matched.max(touched.all), touched, (unseen, &running), &left, sure, out)?;
    }
    match stopped {
        None => erased.and(show::complete(unseen)).and(still_running(&running)),
        Some(why) => {
            let how_far = format!("{} {} of {}", deed.done, touched.all, counted(matched, "message"));
            Err(format!("{how_far}; run the same command again for the others: {why}").into())
        }
    }
}

/// Acts on all messages of a queue or of all queues, with the queue's own operation, because a list may not reach all
/// of them.
fn all(pulpo: &Pulpo, deed: &Deed, filter: &Filter, sure: Sure, out: &mut dyn Write) -> Done {
    let queue = &**pulpo.queue();
    let counts = queue.stats()?.counts;
    let meant = counts.iter().filter(|counts| filter.queue.as_ref().is_none_or(|queue| counts.queue == *queue));
    let mut by_state = [0; 5];
    for counts in meant {
        let all = [counts.ready, counts.delayed, counts.reserved, counts.buried, 0];
        for (sum, (state, count)) in by_state.iter_mut().zip(MessageState::ALL.into_iter().zip(all)) {
            *sum += if filter.has_state(state) { count } else { 0 };
        }
    }
    let matched: u64 = by_state.iter().sum();
    if matched == 0 {
        names::warn(pulpo, filter);
    }
    if sure.dry_run || matched == 0 {
        return deed.report(matched, Touched::default(), 0, &[], sure, out);
    }
    if !sure.yes && terminal::can_ask() {
        terminal::ask(&format!("{} {}?", deed.verb, described(by_state)))?;
    }
    let touched = (deed.act)(queue, filter)?;
    deed.report(matched, touched, 0, &[], sure, out)
}

/// Returns the matching messages that a worker has.
fn running(queue: &dyn QueueAdapter, deed: &Deed, filter: &Filter) -> Result<Vec<MessageId>, QueueError> {
    if !deed.names_running {
        return Ok(Vec::new());
    }
    let mut filter = filter.clone();
    filter.states = vec![MessageState::Reserved];
    filter.limit = None;
    Ok(gather(queue, &filter)?.messages.into_iter().map(|(id, _)| id).collect())
}

fn still_running(ids: &[MessageId]) -> Done {
    if ids.is_empty() {
        return Ok(());
    }
    let shown: Vec<_> = ids.iter().take(20).map(MessageId::as_str).collect();
    let more = if ids.len() > shown.len() { format!(" and {} more", ids.len() - shown.len()) } else { String::new() };
    Err(format!(
        "{} still running, and not deleted: {}{more}: run this again when they are done, or cancel them first",
        counted(ids.len() as u64, "message"),
        shown.join(", ")
    )
    .into())
}

/// Erases the traces of deleted messages from the files of the queue.
fn erase(queue: &dyn QueueAdapter, thorough: bool) -> Done {
    Ok(queue.keeping().map_or(Ok(()), |keeping| keeping.erase_deleted(thorough))?)
}

/// Acts on these messages, in parts. Returns how many changed, which were left out, and why it stopped early, if so.
fn touch(
    queue: &dyn QueueAdapter,
    deed: &Deed,
    filter: &Filter,
    meant: Vec<(MessageId, MessageState)>,
) -> Result<(Touched, Vec<Left>, Option<String>), std::io::Error> {
    let interrupt = Interrupt::listen()?;
    let part = if queue.capabilities().complete_lists { PART } else { PART.max(meant.len().div_ceil(PARTS)) };
    let progress = (meant.len() > part).then(|| terminal::progress(meant.len() as u64));
    let (mut touched, mut left, mut stopped) = (Touched::default(), Vec::new(), None);
    for (number, part) in meant.chunks(part).enumerate() {
        if number > 0 && interrupt.has_come() {
            stopped = Some("stopped by a signal".to_owned());
            break;
        }
        let mut exactly = filter.clone().ids(part.iter().map(|(id, _)| id.clone()));
        exactly.limit = None;
        match (deed.act)(queue, &exactly) {
            Ok(done) => {
                touched.all += done.all;
                touched.running += done.running;
                if deed.leaves && done.all < part.len() as u64 {
                    left.extend(part.iter().filter_map(|(id, _)| Left::find(queue, id).ok().flatten()));
                }
            }
            Err(error) => {
                stopped = Some(chain(&error));
                break;
            }
        }
        if let Some(progress) = &progress {
            progress.inc(part.len() as u64);
        }
    }
    if let Some(progress) = progress {
        progress.finish_and_clear();
    }
    Ok((touched, left, stopped))
}

/// The matching messages, and how many more there are that the queue cannot show.
struct Meant {
    messages: Vec<(MessageId, MessageState)>,
    unseen: u64,
}

/// Returns the messages that match the filter, with their states.
fn gather(queue: &dyn QueueAdapter, filter: &Filter) -> Result<Meant, QueueError> {
    let mut meant = Meant { messages: Vec::new(), unseen: 0 };
    let mut page = filter.clone();
    // A queue that scans all its messages for each page returns them in one.
    let most_in_a_page = if queue.capabilities().complete_lists { PAGE } else { usize::MAX };
    loop {
        let left = filter.limit.map_or(usize::MAX, |limit| limit - meant.messages.len());
        let most = left.min(most_in_a_page);
        page.limit = (most < usize::MAX).then_some(most);
        let found = queue.survey(&page, false)?;
        meant.unseen = found.unseen;
        let (full, last) =
            (found.messages.len() >= most && left > most, found.messages.last().map(|message| message.id.clone()));
        meant.messages.extend(found.messages.into_iter().map(|message| (message.id, message.state)));
        match last.filter(|_| full) {
            Some(last) => page.after = Some(last),
            None => return Ok(meant),
        }
    }
}

/// Describes the numbers in each state: `12 messages (3 ready, 9 buried)`.
fn described(by_state: [u64; 5]) -> String {
    let parts = MessageState::ALL.into_iter().zip(by_state).filter(|(_, count)| *count > 0);
    let parts: Vec<_> = parts.map(|(state, count)| format!("{count} {state}")).collect();
    format!("{} ({})", counted(by_state.iter().sum(), "message"), parts.join(", "))
}
