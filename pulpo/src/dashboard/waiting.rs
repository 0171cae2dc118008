//! Explains why a job waits, in a few words.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::html::{age, foreign, number};
use super::site::Site;
use crate::queue::{Counts, MessageState, Stats, StoredMessage, WorkerEntry};
use crate::registry::Registry;
use crate::worker::WorkerOptions;

/// A longer pause lasts until someone resumes the queue.
const FOR_GOOD: TimeDelta = TimeDelta::days(3650);

/// The data that explains the state of a job, beside its message.
pub(super) struct Known<'a> {
    stats: &'a Stats,
    /// The handlers of this program.
    registry: &'a Registry,
    /// The options of this program, which change limits.
    options: &'a WorkerOptions,
    /// The running workers, if the queue records them.
    workers: Option<&'a [WorkerEntry]>,
    pub(super) now: DateTime<Utc>,
}

impl<'a> Known<'a> {
    pub(super) fn new(
        site: &'a Site,
        stats: &'a Stats,
        workers: Option<&'a [WorkerEntry]>,
        now: DateTime<Utc>,
    ) -> Self {
        Self { stats, registry: &site.registry, options: site.pulpo.options(), workers, now }
    }

    /// Counts the running jobs.
    fn running(&self, of: impl Fn(&Counts) -> bool) -> u64 {
        self.stats.counts.iter().filter(|counts| of(counts)).map(|counts| counts.reserved).sum()
    }
}

/// Explains the state of a job in a few words, with its last error.
pub(super) fn why(message: &StoredMessage, known: &Known<'_>) -> Markup {
    let error = message.last_error.as_deref().map(|error| foreign(error, 160));
    html! {
        (reason(message, known))
        @if let Some(error) = error {
            @if message.state != MessageState::Buried { " · " }
            span.faint { (error) }
        }
    }
}

fn reason(message: &StoredMessage, known: &Known<'_>) -> Markup {
    let Known { stats, now, .. } = known;
    match (message.state, stats.paused_until(&message.queue)) {
        (MessageState::Ready, Some(until)) if until - *now > FOR_GOOD => html! { "its queue is paused" },
        (MessageState::Ready, Some(until)) => html! { "its queue is paused, until " (age(Some(until), *now)) },
        (MessageState::Ready, None) => html! { (ready(message, known)) },
        (MessageState::Delayed, _) => html! { "due " (age(message.until, *now)) },
        (MessageState::Reserved, _) => html! { "running; its lease ends " (age(message.until, *now)) },
        (MessageState::Buried, _) if message.last_error.is_none() => html! { "failed for good" },
        (MessageState::Buried, _) => html! {},
        (MessageState::Done, _) if message.has_expired => html! { "expired before it ran" },
        (MessageState::Done, _) => html! {},
    }
}

/// Explains why a ready job waits in a queue that is not paused.
fn ready(message: &StoredMessage, known: &Known<'_>) -> String {
    let mut no_worker = None;
    if let Some(workers) = known.workers {
        let serves = |worker: &&WorkerEntry| worker.report.queues.contains(&message.queue);
        let mut serving = workers.iter().filter(serves).peekable();
        if serving.peek().is_none() {
            return "no worker serves its queue".to_owned();
        }
        // One that has just started, or an older one, does not say.
        let has_handler = |WorkerEntry { report, .. }: &WorkerEntry| {
            report.types.is_empty() || report.types.contains(&message.request_type)
        };
        if !serving.any(has_handler) {
            no_worker = Some("no running worker has a handler for it");
        }
    }
    let Some(handler) = known.registry.get(&message.request_type) else {
        let program = "this program has no handler for it";
        return match (known.workers, no_worker) {
            (_, Some(no_worker)) => no_worker.to_owned(),
            (Some(_), None) => format!("waits for a worker; {program}, and does not know its limits"),
            (None, None) => format!("{program}: waits for a worker that has one"),
        };
    };
    if let Some(no_worker) = no_worker {
        return no_worker.to_owned();
    }
    let policy = match known.options.handlers.get(handler.request_type()) {
        Some(changed) => changed.apply(handler.policy()),
        None => handler.policy().clone(),
    };
    let of_queue = known.options.queue_options.get(&message.queue);
    let is_of_type = |counts: &Counts| {
        counts.request_type == handler.request_type() || handler.aliases().contains(&&*counts.request_type)
    };
    let limits = [
        ("type", policy.limit, known.running(is_of_type)),
        ("queue", of_queue.and_then(|queue| queue.limit), known.running(|counts| counts.queue == message.queue)),
    ];
    for (what, limit, running) in limits {
        if let Some(limit) = limit.filter(|limit| running >= u64::from(*limit)) {
            let (running, limit) = (number(running), number(limit.into()));
            return format!("at its limit: {running} of at most {limit} jobs of its {what} are running");
        }
    }
    let limits = [
        policy.rate.map(|rate| format!("rate {rate}")),
        of_queue.and_then(|queue| queue.rate).map(|rate| format!("rate {rate} for its queue")),
        policy.rate_by.map(|rate| format!("rate {rate} for its key")),
        policy.limit_by.map(|limit| format!("at most {} running for its key", number(limit.into()))),
    ];
    let limits: Vec<_> = limits.into_iter().flatten().collect();
    if limits.is_empty() {
        "waits for a worker".to_owned()
    } else {
        format!("waits for a worker, or for its limit: {}", limits.join(", "))
    }
}
