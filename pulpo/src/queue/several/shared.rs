//! The servers of one queue, and what is known of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::merge;
use crate::clock::{Clock as _, SystemClock, lock};
use crate::message::MessageId;
use crate::queue::{Filter, QueueAdapter, QueueError, Stats, StoredMessage, Unreachable};
use crate::report::chain;

/// How long a server rests that did not accept or hand out anything: at first, and at most.
const SHORTEST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(10);

pub(super) struct Shared {
    pub(super) servers: Vec<Server>,
    /// The server at which the next publication begins.
    next: AtomicUsize,
    pub(super) clock: SystemClock,
    /// The servers that did not answer since the last query, with the reasons.
    pub(super) unreachable: Mutex<BTreeMap<String, String>>,
}

/// One of the servers.
pub(super) struct Server {
    pub(super) name: String,
    pub(super) queue: Arc<dyn QueueAdapter>,
    rest: Mutex<Rest>,
}

/// How long to leave a server alone that did not answer.
#[derive(Clone, Copy, Debug, Default)]
struct Rest {
    /// The end of the rest, by the clock; `None` if it answered last.
    until: Option<Duration>,
    length: Duration,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.servers.iter().map(|server| &server.name)).finish()
    }
}

impl Server {
    pub(super) fn id(&self, id: &MessageId) -> MessageId {
        MessageId::from(format!("{}/{id}", self.name))
    }

    pub(super) fn is_resting(&self, now: Duration) -> bool {
        lock(&self.rest).until.is_some_and(|until| now < until)
    }

    /// Records that the server has answered.
    pub(super) fn answered(&self) {
        let mut rest = lock(&self.rest);
        if std::mem::take(&mut *rest).until.is_some() {
            tracing::info!(server = self.name, "the server is back");
        }
    }

    /// Records that it has not. Returns how long it rests.
    pub(super) fn failed(&self, error: &QueueError, now: Duration) -> Duration {
        let mut rest = lock(&self.rest);
        if rest.until.is_none() {
            tracing::warn!(
                server = self.name,
                error = chain(error),
                "a server is not available: continuing with the others"
            );
        }
        rest.length = (rest.length * 2).clamp(SHORTEST_REST, LONGEST_REST);
        rest.until = Some(now.saturating_add(rest.length));
        rest.length
    }

    pub(super) fn named(&self, message: StoredMessage) -> StoredMessage {
        StoredMessage { id: self.id(&message.id), ..message }
    }
}

impl Shared {
    pub(super) fn new(servers: Vec<(String, Arc<dyn QueueAdapter>)>) -> Self {
        let servers: Vec<_> =
            servers.into_iter().map(|(name, queue)| Server { name, queue, rest: Mutex::default() }).collect();
        Self {
            next: AtomicUsize::new(fastrand::usize(..servers.len())),
            servers,
            clock: SystemClock::new(),
            unreachable: Mutex::default(),
        }
    }

    /// Returns the server of a message, by its id, and the id there.
    pub(super) fn of(&self, id: &MessageId) -> Option<(usize, MessageId)> {
        let (name, id) = id.as_str().rsplit_once('/')?;
        let at = self.servers.iter().position(|server| server.name == name)?;
        Some((at, MessageId::from(id)))
    }

    /// Returns the servers in the order for one publication: in turn, with resting ones last.
    pub(super) fn in_turn(&self) -> Vec<usize> {
        let (count, now) = (self.servers.len(), self.clock.uptime());
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut order: Vec<_> = (0..count).map(|step| first.wrapping_add(step) % count).collect();
        order.sort_by_key(|at| self.servers[*at].is_resting(now));
        order
    }

    /// Asks all servers, and returns the answers of those that answer. An error if none does, or if one refuses for a
    /// reason other than being unreachable.
    pub(super) fn ask<R>(
        &self,
        ask: impl Fn(usize, &dyn QueueAdapter) -> Result<R, QueueError>,
    ) -> Result<Vec<R>, QueueError> {
        let (mut answers, mut failed) = (Vec::new(), None);
        for (at, server) in self.servers.iter().enumerate() {
            match ask(at, &*server.queue) {
                Ok(answer) => answers.push(answer),
                Err(error) if error.is_outage() => {
                    self.note(at, &error);
                    failed.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        match failed {
            Some(error) if answers.is_empty() => Err(error),
            _ => Ok(answers),
        }
    }

    pub(super) fn note(&self, at: usize, error: &QueueError) {
        lock(&self.unreachable).insert(self.servers[at].name.clone(), chain(error));
    }

    /// Returns the part of a filter that concerns one server; `None` if it matches nothing there.
    pub(super) fn part(&self, at: usize, filter: &Filter) -> Option<Filter> {
        let mut part = filter.clone();
        if let Some(ids) = &filter.ids {
            let its: BTreeSet<_> =
                ids.iter().filter_map(|id| self.of(id)).filter(|of| of.0 == at).map(|of| of.1).collect();
            if its.is_empty() {
                return None;
            }
            part.ids = Some(its);
        }
        if let Some(after) = &filter.after {
            part.after = merge::after(at, self.of(after).unwrap_or((self.servers.len(), after.clone())));
        }
        Some(part)
    }

    /// Applies a change to each server's part of the filter, up to the filter's limit.
    pub(super) fn change(
        &self,
        filter: &Filter,
        change: impl Fn(&dyn QueueAdapter, &Filter) -> Result<u64, QueueError>,
    ) -> Result<u64, QueueError> {
        let done = AtomicUsize::new(0);
        let counts = self.ask(|at, queue| {
            let Some(mut part) = self.part(at, filter) else { return Ok(0) };
            if let Some(limit) = &mut part.limit {
                *limit = limit.saturating_sub(done.load(Ordering::Relaxed));
                if *limit == 0 {
                    return Ok(0);
                }
            }
            let count = change(queue, &part)?;
            done.fetch_add(usize::try_from(count).unwrap_or(usize::MAX), Ordering::Relaxed);
            Ok(count)
        })?;
        Ok(counts.into_iter().sum())
    }

    /// Returns the combined statistics, and which servers did not answer.
    pub(super) fn sum(
        &self,
        stats: impl Fn(&dyn QueueAdapter) -> Result<Stats, QueueError>,
    ) -> Result<Stats, QueueError> {
        let away = Mutex::new(Vec::new());
        let answers = self.ask(|at, queue| {
            stats(queue).inspect_err(|error| {
                lock(&away).push(Unreachable::new(&self.servers[at].name, chain(error)));
            })
        })?;
        let mut sum = merge::sum(answers);
        sum.unreachable.extend(std::mem::take(&mut *lock(&away)));
        Ok(sum)
    }
}
