//! The consumer with which one lane takes jobs from several servers.

use std::sync::Arc;
use std::time::Duration;

use super::server::Told;
use super::shared::Shared;
use super::watch::{Handed, Waited, Watch};
use crate::clock::Clock as _;
use crate::queue::{Consumer, Delivery, DequeueFilter, Lease, QueueError, Settlement};
use crate::report::chain;

/// How long an empty server is not asked again while another one has jobs.
const EMPTY_REST: Duration = Duration::from_millis(5);

/// How often a lane checks that may not take every job, so that no thread can wait on its behalf.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// The maximum number of jobs in a row from one server whose commits are deferred: each deferred commit goes out with
/// the next request to that server.
const MOST_IN_A_ROW: u32 = 16;

/// Takes jobs from several servers for one lane.
///
/// # Invariants
/// - A lane that leaves with a job, or to wait, has no deferred commit at any server except that of the job: a deferred
///   commit goes out with the next request to its server, which may come only after the job.
pub(super) struct SeveralConsumer {
    shared: Arc<Shared>,
    watch: Arc<Watch>,
    consumers: Vec<ServerConsumer>,
    /// The server to ask first the next time.
    next: usize,
    /// The server of the last job; `in_a_row` counts the consecutive jobs from there.
    last: Option<usize>,
    in_a_row: u32,
    interrupts: u64,
}

/// A consumer at one server.
struct ServerConsumer {
    server: usize,
    consumer: Box<dyn Consumer>,
    /// The tokens of its leases.
    leases: Vec<Arc<str>>,
    /// Whether a deferred commit waits for the next request.
    has_deferred: bool,
    /// Until this time, it is not asked while others have jobs.
    empty_until: Duration,
}

impl SeveralConsumer {
    /// Creates it with a consumer of each server.
    pub(super) fn new(shared: Arc<Shared>, watch: Arc<Watch>, consumers: Vec<Box<dyn Consumer>>) -> Self {
        let next = fastrand::usize(..consumers.len());
        let holder = |(server, consumer)| ServerConsumer {
            server,
            consumer,
            leases: Vec::new(),
            has_deferred: false,
            empty_until: Duration::ZERO,
        };
        let (consumers, interrupts) = (consumers.into_iter().enumerate().map(holder).collect(), watch.interrupts());
        Self { shared, watch, consumers, next, last: None, in_a_row: 0, interrupts }
    }

    /// Asks each server that is there without waiting: first those with a deferred commit, and last those that were
    /// empty a moment ago.
    fn try_dequeue(&mut self, filter: &DequeueFilter) -> Result<Option<Delivery>, QueueError> {
        if self.in_a_row >= MOST_IN_A_ROW {
            self.in_a_row = 0;
            self.flush_deferred();
        }
        let (count, now) = (self.shared.servers.len(), self.shared.clock.uptime());
        let mut order: Vec<_> = (0..count).map(|step| (self.next + step) % count).collect();
        let (shared, consumers) = (&self.shared, &self.consumers);
        let has_deferred = |server| consumers.iter().any(|holder| holder.server == server && holder.has_deferred);
        let was_empty = |server| consumers.iter().any(|holder| holder.server == server && now < holder.empty_until);
        order.retain(|server| has_deferred(*server) || !shared.servers[*server].health().is_away());
        order.sort_by_key(|server| (!has_deferred(*server), was_empty(*server)));
        for server in order {
            let Some(at) = self.consumers.iter().position(|holder| holder.server == server) else { continue };
            let began = self.shared.clock.uptime();
            let found = self.consumers[at].consumer.dequeue(filter, Duration::ZERO);
            self.consumers
                .iter_mut()
                .filter(|holder| holder.server == server)
                .for_each(|holder| holder.has_deferred = false);
            match found {
                Ok(Some(delivery)) => {
                    self.shared.servers[server].answered(began);
                    self.in_a_row = if self.last.replace(server) == Some(server) { self.in_a_row + 1 } else { 1 };
                    // The rest of a batch is reserved there.
                    self.next = if filter.more > 0 { server } else { (server + 1) % count };
                    let delivery = self.consumers[at].took(&self.shared, delivery);
                    self.flush_deferred();
                    return Ok(Some(delivery));
                }
                Ok(None) => {
                    self.shared.servers[server].answered(began);
                    self.consumers[at].empty_until = now.saturating_add(EMPTY_REST);
                }
                Err(error) if error.is_outage() => {
                    self.shared.failed(server, &error, began, Told::Nobody);
                    // A batch that holds messages of this server must learn that it may have lost them.
                    if self.consumers.iter().any(|holder| holder.server == server && !holder.leases.is_empty()) {
                        return Err(error);
                    }
                }
                Err(error) => {
                    // The next call begins at another one.
                    self.next = (server + 1) % count;
                    return Err(error);
                }
            }
        }
        // If all servers are away, the wait reports it.
        Ok(None)
    }

    /// Carries out the deferred commits now. A commit that fails is reported as a lost lease.
    fn flush_deferred(&mut self) {
        for holder in self.consumers.iter_mut().filter(|holder| holder.has_deferred) {
            holder.has_deferred = false;
            if let Err(error) = holder.consumer.flush() {
                let server = &self.shared.servers[holder.server].name;
                tracing::warn!(server, error = chain(&error), "cannot settle the last job: it will run again");
            }
        }
    }

    /// Takes over a message that a thread was handed, with its consumer, and returns consumers that are not needed.
    fn take(&mut self, handed: Handed) -> Delivery {
        let Handed { server, consumer, delivery } = handed;
        let mut holder =
            ServerConsumer { server, consumer, leases: Vec::new(), has_deferred: false, empty_until: Duration::ZERO };
        let delivery = holder.took(&self.shared, delivery);
        let idle = self.consumers.iter().position(|other| other.server == server && other.leases.is_empty());
        match idle {
            Some(at) => {
                let mut old = std::mem::replace(&mut self.consumers[at], holder);
                // Its deferred commits must not wait until a thread uses it again.
                if old.consumer.flush().is_ok() && old.consumer.take_lost_leases().is_empty() {
                    self.watch.put_back(server, old.consumer);
                }
            }
            None => self.consumers.push(holder),
        }
        delivery
    }

    /// Returns surplus consumers, because one for each server is enough.
    fn give_back_spare(&mut self) {
        for server in 0..self.shared.servers.len() {
            while self.consumers.iter().filter(|holder| holder.server == server).count() > 1 {
                let is_idle = |holder: &ServerConsumer| holder.server == server && holder.leases.is_empty();
                let Some(at) = self.consumers.iter().position(is_idle) else { break };
                let mut holder = self.consumers.swap_remove(at);
                if holder.consumer.flush().is_ok() {
                    self.watch.put_back(server, holder.consumer);
                }
            }
        }
    }

    /// Returns the consumer that has a lease, and the lease as its server knows it.
    fn holder_of(&mut self, lease: &Lease) -> Option<(&mut ServerConsumer, Lease)> {
        let (server, id) = self.shared.of(&lease.id)?;
        let holder =
            self.consumers.iter_mut().find(|holder| holder.server == server && holder.leases.contains(&lease.token))?;
        Some((holder, Lease { id, token: lease.token.clone() }))
    }
}

impl ServerConsumer {
    /// Returns the delivery with the id that includes the server.
    fn took(&mut self, shared: &Shared, mut delivery: Delivery) -> Delivery {
        self.leases.push(delivery.lease.token.clone());
        delivery.lease.id = shared.servers[self.server].id(&delivery.lease.id);
        delivery
    }
}

impl Consumer for SeveralConsumer {
    fn dequeue(&mut self, filter: &DequeueFilter, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        self.give_back_spare();
        let clock = self.shared.clock;
        let end = clock.uptime().saturating_add(wait);
        let takes_all =
            filter.request_type.is_none() && filter.except_types.is_empty() && filter.except_queues.is_empty();
        loop {
            if let Some(delivery) = self.try_dequeue(filter)? {
                return Ok(Some(delivery));
            }
            let left = end.saturating_sub(clock.uptime());
            if left.is_zero() {
                return Ok(None);
            }
            if takes_all {
                return match self.watch.wait(&mut self.interrupts, left) {
                    Waited::Handed(handed) => Ok(Some(self.take(handed))),
                    Waited::Nothing => Ok(None),
                    Waited::AllAway(error) => Err(error),
                };
            }
            let interrupts = self.watch.interrupts();
            if std::mem::replace(&mut self.interrupts, interrupts) != interrupts {
                return Ok(None);
            }
            self.watch.pause(interrupts, left.min(CHECK_INTERVAL));
        }
    }

    fn settle(&mut self, lease: &Lease, settlement: &mut Settlement) -> Result<(), QueueError> {
        let lost = || QueueError::LeaseLost { id: lease.id.clone() };
        let (holder, its) = self.holder_of(lease).ok_or_else(lost)?;
        let may_defer = matches!(settlement, Settlement::Commit { deferrable: true, .. });
        match holder.consumer.settle(&its, settlement) {
            Ok(()) => {
                holder.has_deferred |= may_defer;
                holder.leases.retain(|token| *token != lease.token);
                Ok(())
            }
            Err(QueueError::LeaseLost { .. }) => {
                holder.leases.retain(|token| *token != lease.token);
                Err(lost())
            }
            Err(error) => Err(error),
        }
    }

    fn touch(&mut self, leases: &[Lease]) -> Result<Vec<Lease>, QueueError> {
        let (mut lost, mut failed) = (Vec::new(), None);
        let shared = self.shared.clone();
        for holder in &mut self.consumers {
            let mine = leases.iter().filter(|lease| holder.leases.contains(&lease.token));
            let mine: Vec<_> = mine
                .filter_map(|lease| {
                    let (server, id) = shared.of(&lease.id)?;
                    (server == holder.server).then(|| Lease { id, token: lease.token.clone() })
                })
                .collect();
            if mine.is_empty() {
                continue;
            }
            match holder.consumer.touch(&mine) {
                Ok(gone) => {
                    holder.leases.retain(|token| gone.iter().all(|lease| lease.token != *token));
                    let named = |lease: Lease| Lease { id: shared.servers[holder.server].id(&lease.id), ..lease };
                    lost.extend(gone.into_iter().map(named));
                }
                Err(error) => failed = Some(error),
            }
        }
        // Two servers may use the same token.
        let known = |lease: &&Lease| {
            let server = shared.of(&lease.id).map(|(server, _)| server);
            self.consumers.iter().any(|holder| server == Some(holder.server) && holder.leases.contains(&lease.token))
        };
        lost.extend(leases.iter().filter(|lease| !known(lease) && !lost.contains(lease)).cloned().collect::<Vec<_>>());
        // Some leases were renewed; the caller asks again for the rest.
        failed.map_or(Ok(lost), Err)
    }

    fn flush(&mut self) -> Result<(), QueueError> {
        let mut failed = None;
        for holder in &mut self.consumers {
            failed = holder.consumer.flush().err().or(failed);
        }
        failed.map_or(Ok(()), Err)
    }

    fn take_lost_leases(&mut self) -> Vec<Lease> {
        let shared = self.shared.clone();
        let lost = self.consumers.iter_mut().flat_map(|holder| {
            let server = holder.server;
            holder.consumer.take_lost_leases().into_iter().map(move |lease| (server, lease))
        });
        lost.map(|(server, lease)| Lease { id: shared.servers[server].id(&lease.id), ..lease }).collect()
    }
}
