//! Waits at several servers at once.
//!
//! A lane that has found no job anywhere waits here. For each server there is a thread that waits there while any lane
//! waits. It hands a job to a lane, together with the consumer that has the lease. So an idle worker waits once at each
//! server, however many lanes it has, and picks a job up from any server as soon as it is handed out.
//!
//! The thread of a server that is away waits until the server is back, which another thread finds out
//! (`several/server.rs`).
//!
//! # Invariants
//! - No more messages are handed over than lanes wait: one that arrives when no lane waits goes back to its server
//!   immediately, uncounted.
//! - A thread that waits at a server holds no lock.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

use super::server::{Told, copy};
use super::shared::Shared;
use crate::clock::Clock as _;
use crate::queue::{Consumer, Delivery, DequeueFilter, QueueError, Settlement};
use crate::sync::{lock, wait_timeout_while, wait_while};

/// How long a thread waits at a server in one request.
const SLICE: Duration = Duration::from_secs(1);

/// A message, and the consumer that has its lease.
pub(super) struct Handed {
    pub(super) server: usize,
    pub(super) consumer: Box<dyn Consumer>,
    pub(super) delivery: Delivery,
}

/// The waits for one set of queues. The lanes own it; the threads end with it.
pub(super) struct Watch {
    state: Arc<State>,
}

struct State {
    inner: Mutex<Inner>,
    /// Notified when a message was handed over, the lanes are interrupted, or no server can be reached. Only lanes that
    /// wait for a message use it: one is woken for each message, and must take it.
    handed: Condvar,
    /// Notified when the lanes are interrupted, for those that pause between two checks.
    interrupted: Condvar,
    /// Notified when a lane waits, or all lanes are gone.
    wanted: Condvar,
}

#[derive(Default)]
struct Inner {
    /// How many lanes wait.
    waiting: usize,
    handed: VecDeque<Handed>,
    /// Unused consumers, by server.
    spare: Vec<Vec<Box<dyn Consumer>>>,
    /// How many servers are known to be unreachable.
    away: usize,
    /// Why the last server became unreachable.
    error: Option<QueueError>,
    interrupts: u64,
    is_over: bool,
}

impl Inner {
    fn wants(&self) -> bool {
        self.waiting > self.handed.len()
    }
}

/// How a wait ended.
pub(super) enum Waited {
    Handed(Handed),
    /// The time is over, or the worker stops.
    Nothing,
    /// No server answers.
    AllAway(QueueError),
}

impl Watch {
    /// Starts a thread for each server; they run as long as the value lives.
    pub(super) fn start(shared: &Arc<Shared>, queues: &[String]) -> Arc<Self> {
        let count = shared.servers.len();
        let inner = Inner { spare: std::iter::repeat_with(Vec::new).take(count).collect(), ..Inner::default() };
        let state = Arc::new(State {
            inner: Mutex::new(inner),
            handed: Condvar::new(),
            interrupted: Condvar::new(),
            wanted: Condvar::new(),
        });
        for server in 0..count {
            let waiter = Waiter { server, shared: Arc::downgrade(shared), state: state.clone(), queues: queues.into() };
            let thread = std::thread::Builder::new().name("pulpo-servers".to_owned());
            if let Err(error) = thread.spawn(move || waiter.run()) {
                // The lanes find its jobs when they ask without waiting.
                tracing::warn!(%error, "no thread to wait at a server: its jobs are picked up later");
            }
        }
        Arc::new(Self { state })
    }

    /// Waits until a server hands something out.
    pub(super) fn wait(&self, interrupts: &mut u64, wait: Duration) -> Waited {
        let count = |inner: &Inner| inner.spare.len();
        let mut inner = lock(&self.state.inner);
        if *interrupts != inner.interrupts {
            *interrupts = inner.interrupts;
            return Waited::Nothing;
        }
        inner.waiting += 1;
        self.state.wanted.notify_all();
        let seen = inner.interrupts;
        inner = wait_timeout_while((&self.state.handed, &self.state.inner), inner, wait, |inner| {
            inner.handed.is_empty() && inner.interrupts == seen && inner.away < count(inner)
        });
        inner.waiting -= 1;
        *interrupts = inner.interrupts;
        // Checked even after the time is over: the message was handed to a waiting lane.
        if let Some(handed) = inner.handed.pop_front() {
            return Waited::Handed(handed);
        }
        match &inner.error {
            Some(error) if inner.away == count(&inner) => Waited::AllAway(copy(error)),
            _ => Waited::Nothing,
        }
    }

    /// Waits for this time, or until an interrupt.
    pub(super) fn pause(&self, seen: u64, wait: Duration) {
        let inner = lock(&self.state.inner);
        drop(wait_timeout_while((&self.state.interrupted, &self.state.inner), inner, wait, |inner| {
            inner.interrupts == seen
        }));
    }

    /// Takes back a consumer that has no lease.
    pub(super) fn put_back(&self, server: usize, consumer: Box<dyn Consumer>) {
        lock(&self.state.inner).spare[server].push(consumer);
    }

    pub(super) fn interrupt(&self) {
        lock(&self.state.inner).interrupts += 1;
        self.state.handed.notify_all();
        self.state.interrupted.notify_all();
    }

    /// Returns the count of interrupts, which shows whether there was a new one.
    pub(super) fn interrupts(&self) -> u64 {
        lock(&self.state.inner).interrupts
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&self.state.inner).is_over = true;
        self.state.wanted.notify_all();
    }
}

/// The thread of one server.
struct Waiter {
    server: usize,
    shared: Weak<Shared>,
    state: Arc<State>,
    queues: Vec<String>,
}

impl Waiter {
    fn run(self) {
        let mut is_away = false;
        loop {
            let spare = {
                let inner = lock(&self.state.inner);
                let mut inner = wait_while(&self.state.wanted, inner, |inner| !inner.is_over && !inner.wants());
                if inner.is_over {
                    return;
                }
                inner.spare[self.server].pop()
            };
            let Some(shared) = self.shared.upgrade() else { return };
            let server = &shared.servers[self.server];
            if let Some(error) = server.health().error() {
                if let Some(spare) = spare {
                    lock(&self.state.inner).spare[self.server].push(spare);
                }
                self.set_away(&mut is_away, Some(error));
                let health = server.health().clone();
                drop(shared);
                health.wait_until_back(|| lock(&self.state.inner).is_over);
                // Before the next lane waits, which would conclude that all servers are away.
                self.set_away(&mut is_away, None);
                continue;
            }
            let began = shared.clock.uptime();
            let consumer = spare.map_or_else(|| server.queue.consumer(&self.queues), Ok);
            let waited = consumer.and_then(|mut consumer| {
                let delivery = consumer.dequeue(&DequeueFilter::default(), SLICE)?;
                Ok((consumer, delivery))
            });
            match waited {
                Ok((consumer, delivery)) => {
                    server.answered(began);
                    self.hand_over(consumer, delivery);
                }
                Err(error) => shared.failed(self.server, &error, began, Told::Nobody),
            }
        }
    }

    fn set_away(&self, is_away: &mut bool, error: Option<QueueError>) {
        let mut inner = lock(&self.state.inner);
        let now = error.is_some();
        match (std::mem::replace(is_away, now), now) {
            (false, true) => inner.away += 1,
            (true, false) => inner.away -= 1,
            _ => {}
        }
        if now {
            inner.error = error;
            if inner.away == inner.spare.len() {
                self.state.handed.notify_all();
            }
        }
    }

    /// Hands a message to a waiting lane, or returns it to its server.
    fn hand_over(&self, mut consumer: Box<dyn Consumer>, delivery: Option<Delivery>) {
        let mut inner = lock(&self.state.inner);
        let Some(delivery) = delivery else {
            inner.spare[self.server].push(consumer);
            return;
        };
        if inner.wants() && !inner.is_over {
            inner.handed.push_back(Handed { server: self.server, consumer, delivery });
            self.state.handed.notify_one();
            return;
        }
        drop(inner);
        let mut back = Settlement::rollback(Duration::ZERO, "no lane was free", false).without_run();
        // If that fails, the lease ends with the connection.
        if consumer.settle(&delivery.lease, &mut back).is_ok() {
            lock(&self.state.inner).spare[self.server].push(consumer);
        }
    }
}
