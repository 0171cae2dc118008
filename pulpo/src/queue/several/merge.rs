//! Combines the answers of several servers.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::message::MessageId;
use crate::queue::{Capabilities, Counts, Stats, StoredMessage, Totals};

/// Returns the capabilities that both have and that several servers can provide together. The others would need one
/// place for all messages.
pub(super) fn common(one: Capabilities, other: Capabilities) -> Capabilities {
    Capabilities {
        uncounted_rollbacks: one.uncounted_rollbacks && other.uncounted_rollbacks,
        burial_reasons: one.burial_reasons && other.burial_reasons,
        last_errors: one.last_errors && other.last_errors,
        complete_lists: one.complete_lists && other.complete_lists,
        stats_by_type: one.stats_by_type && other.stats_by_type,
        pauses: one.pauses && other.pauses,
        picks_types: one.picks_types && other.picks_types,
        picks_queues: one.picks_queues && other.picks_queues,
        ..Capabilities::default()
    }
}

/// Returns the id of a message at its server as a number, which all our servers use.
fn number(id: &MessageId) -> u64 {
    id.as_str().parse().unwrap_or(0)
}

/// Sorts by number, the greatest first; for equal numbers, the first server comes first. A list can continue in this
/// order after any message.
pub(super) fn newest_first(mut all: Vec<(usize, StoredMessage)>) -> Vec<(usize, StoredMessage)> {
    all.sort_by_key(|(at, message)| (Reverse(number(&message.id)), *at));
    all
}

/// Returns where one server's list continues after a message of that or another server.
pub(super) fn after(at: usize, (of, id): (usize, MessageId)) -> Option<MessageId> {
    if at <= of { Some(id) } else { number(&id).checked_add(1).map(MessageId::from) }
}

/// Adds up the statistics.
pub(super) fn sum(all: Vec<Stats>) -> Stats {
    let (mut counts, mut totals) = (BTreeMap::new(), BTreeMap::new());
    let mut sum = Stats::default();
    for stats in all {
        for one in stats.counts {
            let key = (one.queue.clone(), one.request_type.clone());
            let all = counts.entry(key).or_insert_with(|| Counts::new(&one.queue, &one.request_type));
            all.ready += one.ready;
            all.delayed += one.delayed;
            all.reserved += one.reserved;
            all.buried += one.buried;
            all.oldest_ready = all.oldest_ready.into_iter().chain(one.oldest_ready).min();
        }
        for one in stats.totals {
            let all = totals.entry(one.queue.clone()).or_insert_with(|| Totals::new(one.queue.clone(), 0, 0));
            all.published += one.published;
            all.finished += one.finished;
        }
        for one in stats.paused {
            match sum.paused.iter_mut().find(|all| all.queue == one.queue) {
                Some(all) => all.until = all.until.max(one.until),
                None => sum.paused.push(one),
            }
        }
        sum.unreachable.extend(stats.unreachable);
        sum.warnings.extend(stats.warnings);
    }
    sum.counts = counts.into_values().collect();
    sum.totals = totals.into_values().collect();
    sum
}
