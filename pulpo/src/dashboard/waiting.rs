//! Explains why a job waits, in a few words.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::html::{age, foreign, number};
use crate::queue::{MessageState, Stats, StoredMessage, WorkerEntry};
use crate::registry::Registry;

/// A longer pause lasts until someone resumes the queue.
const FOR_GOOD: TimeDelta = TimeDelta::days(3650);

/// The data that explains the state of a job, beside its message.
pub(super) struct Known<'a> {
    pub(super) stats: &'a Stats,
    /// The handlers of this program.
    pub(super) registry: &'a Registry,
    /// The running workers, if the queue records them.
    pub(super) workers: Option<&'a [WorkerEntry]>,
    pub(super) now: DateTime<Utc>,
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
    if known.workers.is_some_and(|all| !all.iter().any(|worker| worker.report.queues.contains(&message.queue))) {
        return "no worker serves its queue".to_owned();
    }
    let Some(handler) = known.registry.get(&message.request_type) else {
        return "this program has no handler for it: waits for a worker that has one".to_owned();
    };
    let policy = handler.policy();
    let running: u64 =
        known.stats.counts.iter().filter(|of| of.request_type == message.request_type).map(|of| of.reserved).sum();
    if let Some(limit) = policy.limit.filter(|limit| running >= u64::from(*limit)) {
        return format!(
            "at its limit: {} of at most {} jobs of its type are running",
            number(running),
            number(limit.into())
        );
    }
    let limits = [
        policy.rate.map(|rate| format!("rate {rate}")),
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
