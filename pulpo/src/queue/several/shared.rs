//! The servers of one queue, and what is known of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::merge;
use super::server::{Rank, Server, Told};
use crate::clock::{Clock as _, SystemClock};
use crate::message::MessageId;
use crate::process::fork::PerProcess;
use crate::queue::{Filter, QueueError};
use crate::report::chain;
use crate::sync::lock;

pub(super) struct Shared {
    pub(super) servers: Vec<Server>,
    /// Kept per process, because a fork may find other servers.
    pub(super) identities: PerProcess<Identities>,
    /// The server at which the next publication begins.
    next: AtomicUsize,
    pub(super) clock: SystemClock,
    /// The servers that did not answer since the last query, with the reasons. Kept per process, since a thread of the
    /// parent may have locked it.
    unreachable: PerProcess<Mutex<BTreeMap<String, String>>>,
}

/// The identities of the servers that have told them, by their index.
pub(super) type Identities = Mutex<BTreeMap<usize, Option<String>>>;

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.servers.iter().map(|server| &server.name)).finish()
    }
}

impl Shared {
    pub(super) fn new(servers: Vec<Server>) -> Self {
        Self {
            identities: PerProcess::new(),
            next: AtomicUsize::new(fastrand::usize(..servers.len())),
            servers,
            clock: SystemClock::new(),
            unreachable: PerProcess::new(),
        }
    }

    /// Returns the server of a message, by its id, and the id there.
    pub(super) fn of(&self, id: &MessageId) -> Option<(usize, MessageId)> {
        let (name, id) = id.as_str().rsplit_once('/')?;
        let at = self.servers.iter().position(|server| server.name == name)?;
        Some((at, MessageId::from(id)))
    }

    /// Returns the servers in the order for one publication: in turn, with those last that refuse or are away.
    pub(super) fn in_turn(&self) -> Vec<usize> {
        let (count, now) = (self.servers.len(), self.clock.uptime());
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut order: Vec<_> = (0..count).map(|step| first.wrapping_add(step) % count).collect();
        order.sort_by_cached_key(|at| self.servers[*at].health().rank(now));
        order
    }

    /// Returns whether to send nothing to a server, since it is away and another one is not, or is one of the others.
    pub(super) fn passes_over(&self, at: usize) -> bool {
        let health = self.servers[at].health();
        health.is_left_out() || health.is_away() && self.servers.iter().any(|server| !server.health().is_away())
    }

    /// Reports in the log that a server is left alone. A call that returns the error to a person only mentions it.
    pub(super) fn report(&self, at: usize, error: &QueueError, told: Told) {
        let (server, text) = (&self.servers[at].name, chain(error));
        match (told, error) {
            (Told::Caller, _) => tracing::info!(server, error = text, "a server is not available"),
            (Told::Nobody, QueueError::Rejected { .. }) => {
                tracing::error!(server, error = text, "a server is left out");
            }
            (Told::Nobody, _) if self.is_another(at, |rank| rank != Rank::Away) => {
                tracing::warn!(server, error = text, "a server is not available: continuing with the others");
            }
            (Told::Nobody, _) => {
                tracing::warn!(
                    server,
                    error = text,
                    "a server is not available, and neither is any other: trying again"
                );
            }
        }
    }

    /// Records that a server refuses publications, and reports it in the log.
    pub(super) fn refused(&self, at: usize, error: &QueueError) {
        let server = &self.servers[at];
        if !server.refuses(self.clock.uptime()) {
            return;
        }
        let (server, error) = (&server.name, chain(error));
        if self.is_another(at, |rank| rank == Rank::Ready) {
            tracing::warn!(server, error, "a server accepts nothing: continuing with the others");
        } else {
            tracing::warn!(server, error, "a server accepts nothing, and neither does any other");
        }
    }

    fn is_another(&self, at: usize, counts: impl Fn(Rank) -> bool) -> bool {
        let now = self.clock.uptime();
        self.servers.iter().enumerate().any(|(other, server)| other != at && counts(server.health().rank(now)))
    }

    /// Notes that a server did not take part in a query.
    pub(super) fn note(&self, at: usize, error: &QueueError) {
        lock(self.unreachable.get()).insert(self.servers[at].name.clone(), chain(error));
    }

    /// Returns those servers, and forgets them.
    pub(super) fn take_unreachable(&self) -> BTreeMap<String, String> {
        std::mem::take(&mut *lock(self.unreachable.get()))
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
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.servers.iter().for_each(|server| server.health().end());
    }
}
