//! `watch`: prints what happens to jobs, as it happens.
//!
//! It compares two readings of the running jobs. Jobs that start and end between two readings are only counted, by the
//! queue's numbers over time.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;

use super::show;
use super::{Done, Format, names, stats};
use crate::instance::Pulpo;
use crate::message::MessageId;
use crate::queue::{
    Activity, ActivityFilter, ActivityLog, ActivityStep, Filter, MessageState, Progress, QueueError, RunningJob,
    StoredMessage,
};
use crate::report::chain;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  watch                 each job that starts, reports progress, ends or fails, until Ctrl-C
  watch --type import   only the imports
  watch --json | jq -r 'select(.event == \"failed\") | .error'
                        print why runs fail, when they do

It reads the running jobs once per interval. Jobs that start and end between two readings are only counted: \
`others: 1234 done, 3 failed, 1237 published`. A job that is gone is `done` if it was kept, else `ended (not kept)`.")]
pub(super) struct WatchArguments {
    /// How often to check
    #[arg(long, value_name = "INTERVAL", default_value = "1s", value_parser = stats::interval)]
    interval: Duration,
    /// Only jobs of this request type
    #[arg(long = "type", value_name = "T", value_parser = NonEmptyStringValueParser::new())]
    request_type: Option<String>,
    /// Only jobs in this queue
    #[arg(long, value_name = "Q", value_parser = NonEmptyStringValueParser::new())]
    queue: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// An event: of one job, or of `others` that were too quick to be seen.
#[derive(Debug, Default, Serialize)]
struct Event {
    at: DateTime<Utc>,
    event: &'static str,
    id: Option<MessageId>,
    request_type: Option<String>,
    queue: Option<String>,
    attempt: Option<u32>,
    host: Option<String>,
    pid: Option<u32>,
    progress: Option<Progress>,
    error: Option<String>,
    done: Option<u64>,
    failed: Option<u64>,
    published: Option<u64>,
}

/// A job that was running at the last check.
#[derive(Clone, Debug)]
struct Seen {
    job: RunningJob,
    host: String,
    pid: u32,
    /// The number of its last failed run, 0 if there was none.
    failed_runs: u32,
}

/// The jobs that were running at the last check, by message and run.
type Runs = BTreeMap<(MessageId, u32), Seen>;

pub(super) fn run(pulpo: &Pulpo, arguments: &WatchArguments, out: &mut dyn Write) -> Done {
    if pulpo.queue().workers().is_none() {
        return Err(QueueError::Unsupported(
            "say which jobs run: it does not know its workers (`stats --watch` shows its numbers)",
        )
        .into());
    }
    let mut before: Option<Runs> = None;
    let mut others = Others::default();
    names::warn(pulpo, &wanted(arguments));
    loop {
        match poll(pulpo, arguments, &mut before, &mut others) {
            Ok(events) => {
                for event in events {
                    if arguments.format.json {
                        show::json_line(out, &event)?;
                    } else {
                        show::note(out, &event.line())?;
                    }
                }
            }
            // It may be back at the next check.
            Err(error) if error.is_transient() => tracing::warn!("{}", chain(&error)),
            Err(error) => return Err(error.into()),
        }
        out.flush()?;
        std::thread::sleep(arguments.interval);
    }
}

fn wanted(arguments: &WatchArguments) -> Filter {
    let mut filter = Filter::all();
    filter.queue.clone_from(&arguments.queue);
    filter.request_type.clone_from(&arguments.request_type);
    filter
}

fn poll(
    pulpo: &Pulpo,
    arguments: &WatchArguments,
    before: &mut Option<Runs>,
    others: &mut Others,
) -> Result<Vec<Event>, QueueError> {
    let queue = &**pulpo.queue();
    // First, so that it does not count a job that still runs below.
    let happened = queue.activity().map(|log| others.read(log, arguments)).transpose()?;
    let is_first = before.is_none();
    let known = before.clone().unwrap_or_default();
    let mut now = running(pulpo, arguments, &known)?;
    let mut events = Vec::new();
    for (key, seen) in &now {
        match known.get(key) {
            None => events.push(seen.event(if is_first { "running" } else { "started" })),
            Some(before) => {
                let is_news =
                    seen.job.progress.as_ref().map(|said| said.at) != before.job.progress.as_ref().map(|it| it.at);
                let is_cancelled = seen.job.cancelled && !before.job.cancelled;
                events.extend(is_news.then(|| seen.event("progress")));
                events.extend(is_cancelled.then(|| seen.event("cancelled")));
            }
        }
    }
    let gone: Vec<_> = known.into_iter().filter(|(key, _)| !now.contains_key(key)).collect();
    for (key, seen) in gone {
        let message = queue.peek(&seen.job.id)?;
        let runs_again = now.keys().any(|(id, _)| *id == seen.job.id);
        match seen.end(message.as_ref(), runs_again) {
            Some(event) => events.push(event),
            // Its worker is dead, but this has not been noticed yet.
            None => drop(now.insert(key, seen)),
        }
    }
    *before = Some(now);
    if let Some(happened) = happened {
        events.extend(others.unseen(&events, happened));
    }
    Ok(events)
}

/// Returns the running jobs.
fn running(pulpo: &Pulpo, arguments: &WatchArguments, known: &Runs) -> Result<Runs, QueueError> {
    let mut runs = Runs::new();
    for worker in pulpo.workers()? {
        for job in worker.running {
            let is_wanted = arguments.request_type.as_ref().is_none_or(|of| *of == job.request_type)
                && arguments.queue.as_ref().is_none_or(|of| *of == job.queue);
            if !is_wanted {
                continue;
            }
            let key = (job.id.clone(), job.attempt);
            let failed_runs = match known.get(&key) {
                Some(seen) => seen.failed_runs,
                None => pulpo.queue().peek(&job.id)?.as_ref().map_or(0, failed_runs),
            };
            runs.insert(key, Seen { job, host: worker.report.host.clone(), pid: worker.report.pid, failed_runs });
        }
    }
    Ok(runs)
}

fn failed_runs(message: &StoredMessage) -> u32 {
    message.history.last().map_or(0, |run| run.number)
}

impl Seen {
    fn event(&self, event: &'static str) -> Event {
        let Self { job, host, pid, .. } = self;
        Event {
            at: Utc::now(),
            event,
            id: Some(job.id.clone()),
            request_type: Some(job.request_type.clone()),
            queue: Some(job.queue.clone()),
            attempt: Some(job.attempt),
            host: Some(host.clone()),
            pid: Some(*pid),
            progress: job.progress.clone(),
            ..Event::default()
        }
    }

    /// Returns how its run has ended, by what is left of its message. `None` if that does not show yet.
    fn end(&self, message: Option<&StoredMessage>, runs_again: bool) -> Option<Event> {
        let Some(message) = message else { return Some(self.event("ended")) };
        let last_run = message.history.last().filter(|_| failed_runs(message) > self.failed_runs);
        let (event, error) = match (message.state, last_run) {
            (MessageState::Done, _) => ("done", None),
            (MessageState::Buried, _) => ("buried", message.last_error.clone()),
            (_, Some(run)) => ("failed", Some(run.error.clone())),
            (MessageState::Reserved, None) if !runs_again => return None,
            // It was snoozed, or its worker stops.
            (_, None) => ("released", None),
        };
        Some(Event { error, ..self.event(event) })
    }
}

impl Event {
    fn line(&self) -> String {
        let at = show::at(self.at);
        let Some(id) = &self.id else {
            let [done, failed, published] = [self.done, self.failed, self.published].map(Option::unwrap_or_default);
            return format!("{at} others: {done} done, {failed} failed, {published} published");
        };
        let text = |text: &Option<String>| text.as_deref().map(show::visible).unwrap_or_default();
        let worker = || format!("on {}/{}", text(&self.host), self.pid.unwrap_or_default());
        let attempt = || format!("attempt {}", self.attempt.unwrap_or_default());
        let (event, rest) = match self.event {
            "started" | "running" => (self.event, worker()),
            "progress" => (self.event, self.progress.as_ref().map(show::progress).unwrap_or_default()),
            "ended" => ("ended (not kept)", String::new()),
            "failed" => (self.event, format!("{}: {}", attempt(), text(&self.error))),
            "buried" => (self.event, text(&self.error)),
            _ => (self.event, String::new()),
        };
        let line = format!(
            "{at} {event} {} {} {}",
            show::visible(id.as_str()),
            text(&self.request_type),
            show::visible(&rest)
        );
        line.trim_end().to_owned()
    }
}

/// The events that the queue has counted, without those of the jobs that were seen.
#[derive(Debug, Default)]
struct Others {
    /// The minute of the last check, and its numbers then.
    last: Option<(DateTime<Utc>, Activity)>,
    /// Ends that were seen and that the numbers do not have yet: done, and failed.
    ahead: [u64; 2],
}

impl Others {
    /// Returns done, failed and published since the last call.
    fn read(&mut self, log: &dyn ActivityLog, arguments: &WatchArguments) -> Result<[u64; 3], QueueError> {
        let minute = ActivityStep::Minute.begin_of(Utc::now());
        let since = self.last.map_or(minute, |(minute, _)| minute);
        let mut filter = ActivityFilter::since(ActivityStep::Minute, since);
        filter.queue.clone_from(&arguments.queue);
        filter.request_type.clone_from(&arguments.request_type);
        let steps = log.read_activity(&filter)?;
        let sum = |since: DateTime<Utc>| {
            let mut sum = Activity::none(since);
            steps.iter().filter(|step| step.at >= since).for_each(|step| sum.add(step));
            sum
        };
        let numbers = |of: &Activity| [of.done, of.failed + of.buried, of.published];
        let before = self.last.map_or_else(|| numbers(&sum(minute)), |(_, before)| numbers(&before));
        let now = numbers(&sum(since));
        self.last = Some((minute, sum(minute)));
        Ok([0, 1, 2].map(|of| now[of].saturating_sub(before[of])))
    }

    /// Returns what has happened to jobs that were not seen. The queue may count an end later than it is seen.
    fn unseen(&mut self, events: &[Event], happened: [u64; 3]) -> Option<Event> {
        let count = |names: &[&str]| events.iter().filter(|event| names.contains(&event.event)).count() as u64;
        let seen = [count(&["done", "ended"]), count(&["failed", "buried"])];
        let [done, failed] = [0, 1].map(|of| {
            let ahead = self.ahead[of] + seen[of];
            self.ahead[of] = ahead.saturating_sub(happened[of]);
            happened[of].saturating_sub(ahead)
        });
        let published = happened[2];
        let others = Event {
            at: Utc::now(),
            event: "others",
            done: Some(done),
            failed: Some(failed),
            published: Some(published),
            ..Event::default()
        };
        (done + failed + published > 0).then_some(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        let job = RunningJob::new("7", "mail", "pulpo", Utc::now());
        Seen { job, host: "host".to_owned(), pid: 12, failed_runs: 0 }
    }

    #[test]
    fn ends_that_were_seen_are_not_counted_among_the_others() {
        let mut others = Others::default();
        let counts =
            |event: Option<Event>| event.map(|event| [event.done, event.failed, event.published].map(Option::unwrap));
        assert_eq!(counts(others.unseen(&[], [5, 1, 6])), Some([5, 1, 6]));
        assert_eq!(counts(others.unseen(&[], [0, 0, 0])), None);
        // Seen first, and counted at the next check.
        let ended = [seen().event("ended"), seen().event("done"), seen().event("failed")];
        assert_eq!(counts(others.unseen(&ended, [1, 0, 0])), None);
        assert_eq!(counts(others.unseen(&[], [3, 1, 0])), Some([2, 0, 0]));
    }

    #[test]
    fn an_end_is_told_by_what_is_left_of_the_message() {
        let message = |state, error: Option<&str>| {
            let mut message = StoredMessage::new("7".into(), "pulpo", state, "{}");
            message.last_error = error.map(str::to_owned);
            message
        };
        let told = |message: Option<&StoredMessage>| {
            let event = seen().end(message, false)?;
            Some(event.line().split_once(' ').expect("a time").1.to_owned())
        };
        let told = |message: Option<&StoredMessage>| told(message).unwrap_or_default();
        assert_eq!(told(None), "ended (not kept) 7 mail");
        assert_eq!(told(Some(&message(MessageState::Done, None))), "done 7 mail");
        assert_eq!(told(Some(&message(MessageState::Buried, Some("no\u{1b} luck")))), "buried 7 mail no\\u{1b} luck");
        assert_eq!(told(Some(&message(MessageState::Delayed, Some("of an earlier run")))), "released 7 mail");
        // Its worker is dead, or another one has it.
        assert_eq!(told(Some(&message(MessageState::Reserved, None))), "");
        assert!(seen().end(Some(&message(MessageState::Reserved, None)), true).is_some());
    }
}
