//! The gauges of the content of a queue.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};

use super::{
    QUEUE_MEASURED, QUEUE_MESSAGES, QUEUE_OLDEST_READY, QUEUE_SERVERS_UNREACHABLE, SPOOL_MESSAGES, SPOOL_OLDEST,
    SPOOL_REFUSED,
};
use crate::clock::Clock;
use crate::queue::{MessageState, QueueAdapter, QueueError, Stats};
use crate::sync::lock;

/// The maximum number of series for request types and queues that this program does not name: a producer may invent any
/// number of them.
const MOST_OTHERS: usize = 100;

/// The longest name, in bytes, that becomes a label.
const LONGEST_LABEL: usize = 255;

/// The label of all others.
const OTHER: &str = "(other)";

/// A queue and a request type, which is empty for all types together if the adapter does not tell them apart.
pub(crate) type Kind = (String, String);

/// Counts the messages of a queue, and sets the gauges.
pub(crate) struct QueueGauges {
    queue: Arc<dyn QueueAdapter>,
    clock: Arc<dyn Clock>,
    /// The queues to count; `None` means all.
    only: Option<Vec<String>>,
    /// The existing series. One that is empty by now is reported as zero.
    series: Mutex<Series>,
}

#[derive(Debug, Default)]
struct Series {
    queues: BTreeSet<String>,
    kinds: BTreeSet<Kind>,
    /// Number of series that this program does not name.
    others: usize,
}

impl QueueGauges {
    /// Creates the gauges of these queues, with the series that are expected from the beginning.
    pub(crate) fn new(
        queue: Arc<dyn QueueAdapter>,
        clock: Arc<dyn Clock>,
        only: Option<Vec<String>>,
        expected: impl IntoIterator<Item = Kind>,
    ) -> Self {
        let by_type = queue.capabilities().stats_by_type;
        let mut series = Series::default();
        for (queue, request_type) in expected {
            series.queues.insert(queue.clone());
            match (by_type, request_type.is_empty()) {
                (true, true) => {}
                (true, false) => drop(series.kinds.insert((queue, request_type))),
                (false, _) => drop(series.kinds.insert((queue, String::new()))),
            }
        }
        Self { queue, clock, only, series: Mutex::new(series) }
    }

    /// Asks the queue for its counts, and sets the gauges. Of several servers, those that answer are counted.
    ///
    /// # Errors
    /// If no server can be reached. The gauges of messages then keep their values.
    pub(crate) fn record_queue(&self) -> Result<(), QueueError> {
        let stats = match &self.only {
            Some(queues) => self.queue.stats_of(queues),
            None => self.queue.stats(),
        };
        // With a spool, an outage is not an error.
        let stats = stats.and_then(|stats| match stats.outage() {
            Some(error) => {
                let (doing, source) = ("count the messages of the queue".to_owned(), error.to_owned().into());
                Err(QueueError::Unavailable { doing, source })
            }
            None => Ok(stats),
        });
        let away = match &stats {
            Ok(stats) => stats.unreachable.len(),
            Err(_) => self.queue.take_unreachable().len().max(1),
        };
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 servers")]
        metrics::gauge!(QUEUE_SERVERS_UNREACHABLE).set(away as f64);
        let stats = stats?;
        let now = self.clock.now();
        let mut series = lock(&self.series);
        series.set_messages(&stats);
        series.set_oldest(&stats, now);
        // Exact to the microsecond until the year 2255.
        #[expect(clippy::cast_precision_loss, reason = "the facade has no whole numbers")]
        metrics::gauge!(QUEUE_MEASURED).set(now.timestamp_micros() as f64 / 1e6);
        Ok(())
    }

    /// Records the spool, which is on this machine and so is known while no server is reachable.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn record_spool(&self) -> Result<(), QueueError> {
        let Some(spool) = self.queue.spool() else { return Ok(()) };
        let spooled = spool.spooled()?;
        let waited = spooled.oldest.and_then(|since| (self.clock.now() - since).to_std().ok()).unwrap_or_default();
        // Exact up to 2^53 messages.
        #[expect(clippy::cast_precision_loss, reason = "the facade has no whole numbers")]
        let (waiting, refused) = (spooled.waiting as f64, spooled.refused as f64);
        metrics::gauge!(SPOOL_MESSAGES).set(waiting);
        metrics::gauge!(SPOOL_REFUSED).set(refused);
        metrics::gauge!(SPOOL_OLDEST).set(waited.as_secs_f64());
        Ok(())
    }
}

impl Series {
    fn set_messages(&mut self, stats: &Stats) {
        let mut depths: BTreeMap<Kind, [u64; 4]> = BTreeMap::new();
        for counts in &stats.counts {
            let depth = depths.entry(self.of(&counts.queue, &counts.request_type)).or_default();
            let more = [counts.ready, counts.delayed, counts.reserved, counts.buried];
            depth.iter_mut().zip(more).for_each(|(depth, more)| *depth += more);
        }
        for kind in &self.kinds {
            let (queue, request_type) = kind;
            for (state, depth) in MessageState::LIVE.into_iter().zip(depths.get(kind).copied().unwrap_or_default()) {
                let mut labels = vec![("queue", queue.clone()), ("state", state.as_str().to_owned())];
                if !request_type.is_empty() {
                    labels.insert(1, ("request_type", request_type.clone()));
                }
                // Exact up to 2^53 messages.
                #[expect(clippy::cast_precision_loss, reason = "the facade has no whole numbers")]
                metrics::gauge!(QUEUE_MESSAGES, &labels).set(depth as f64);
            }
        }
    }

    fn set_oldest(&self, stats: &Stats, now: DateTime<Utc>) {
        for queue in &self.queues {
            let counts = stats.counts.iter().filter(|counts| counts.queue == *queue);
            let since = counts.filter_map(|counts| counts.oldest_ready).min();
            let waited = since.and_then(|since| (now - since).to_std().ok()).unwrap_or_default();
            metrics::gauge!(QUEUE_OLDEST_READY, "queue" => queue.clone()).set(waited.as_secs_f64());
        }
    }

    /// Returns the series in which to count these messages; a new one if there may be more.
    fn of(&mut self, queue: &str, request_type: &str) -> Kind {
        let kind = (queue.to_owned(), request_type.to_owned());
        if self.kinds.contains(&kind) {
            return kind;
        }
        let short = queue.len() <= LONGEST_LABEL && request_type.len() <= LONGEST_LABEL;
        let kind = if short && self.others < MOST_OTHERS {
            self.others += 1;
            self.queues.insert(queue.to_owned());
            kind
        } else if self.queues.contains(queue) {
            (queue.to_owned(), OTHER.to_owned())
        } else {
            (OTHER.to_owned(), OTHER.to_owned())
        };
        self.kinds.insert(kind.clone());
        kind
    }
}

impl fmt::Debug for QueueGauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueGauges").field("only", &self.only).finish_non_exhaustive()
    }
}
