//! Limits on how many jobs of a type or a queue run at the same time.
//!
//! Before it takes a message, a lane acquires a permit of each limit, and tells the queue to leave out jobs for which
//! it got none. So a job over its limit waits in the queue, in order and without a lease, and no lane waits for it.
//! Once the lane has a message, it keeps only the permits that the message needs, until its handler has returned. A run
//! that has exceeded its timeout keeps them until then: it still uses what the limit protects.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::options::WorkerOptions;
use crate::message::MessageId;
use crate::queue::{DequeueFilter, QueueAdapter};
use crate::registry::{Handler, Registry};
use crate::sync::lock;

pub(super) struct Limits {
    all: Vec<Limit>,
    /// The number of permits of each limit that are in use.
    out: Mutex<Vec<usize>>,
    /// How many lanes are at the queue and lack a permit that they could use.
    waiting: AtomicUsize,
    queue: Arc<dyn QueueAdapter>,
}

struct Limit {
    of: Of,
    most: usize,
}

enum Of {
    Queue(String),
    Handler(&'static Handler),
}

impl Limits {
    /// Creates the limits of these options that the queue can support.
    pub(super) fn new(registry: &Registry, options: &WorkerOptions, queue: Arc<dyn QueueAdapter>) -> Arc<Self> {
        let picks_types = queue.capabilities().picks_types;
        let of_queues = options.queue_options.iter().filter_map(|(name, said)| {
            let most = said.concurrency?;
            Some(Limit { of: Of::Queue(name.clone()), most })
        });
        let of_handlers = registry.iter().filter_map(|handler| {
            let most = options.handlers.get(handler.request_type())?.concurrency?;
            // The limit of a queue with no other jobs is a limit of the type.
            let own = own_queue(registry, handler, options).filter(|_| !picks_types);
            let of_its_queue = own.map(|own| Limit { of: Of::Queue(own.to_owned()), most });
            Some(std::iter::once(Limit { of: Of::Handler(handler), most }).chain(of_its_queue))
        });
        let all: Vec<_> = of_queues.chain(of_handlers.flatten()).collect();
        let out = Mutex::new(vec![0; all.len()]);
        Arc::new(Self { all, out, waiting: AtomicUsize::new(0), queue })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// Returns the queue that only this handler uses.
pub(super) fn own_queue(registry: &Registry, handler: &Handler, options: &WorkerOptions) -> Option<&'static str> {
    let of = |handler: &Handler| handler.policy().queue;
    let own = of(handler).filter(|own| *own != options.default_queue)?;
    (registry.iter().filter(|other| of(other) == Some(own)).count() == 1).then_some(own)
}

/// The permits of one lane.
#[derive(Default)]
pub(super) struct Permits {
    limits: Option<Arc<Limits>>,
    /// For each limit, whether it has a permit.
    held: Vec<bool>,
    /// For each limit, whether the last job needed its permit and was short.
    was_short: Vec<bool>,
}

/// A lane that could use more permits than it has, as long as this value lives.
pub(super) struct PermitWaiter<'a>(&'a Limits);

impl Drop for PermitWaiter<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Permits {
    /// Acquires all available permits. If some are missing, returns a waiter: the queue is interrupted when there are
    /// more.
    pub(super) fn acquire<'a>(&mut self, limits: &'a Arc<Limits>) -> Option<PermitWaiter<'a>> {
        if self.limits.is_none() {
            self.limits = Some(limits.clone());
            self.held = vec![false; limits.all.len()];
            self.was_short = vec![false; limits.all.len()];
        }
        // Announced first, so that no permit that is released in between is missed.
        limits.waiting.fetch_add(1, Ordering::SeqCst);
        let waiting = PermitWaiter(limits);
        let mut out = lock(&limits.out);
        for (index, limit) in limits.all.iter().enumerate() {
            if !self.held[index] && out[index] < limit.most {
                out[index] += 1;
                self.held[index] = true;
            }
        }
        drop(out);
        self.held.contains(&false).then_some(waiting)
    }

    /// Returns the filter for what may be taken with these permits: one message of each limited kind, unless the lane
    /// has just done a short job of that kind. Several short ones are leased together, and done one after another with
    /// the same permit.
    pub(super) fn filter(&self, mut filter: DequeueFilter) -> DequeueFilter {
        let Some(limits) = &self.limits else { return filter };
        for (index, limit) in limits.all.iter().enumerate() {
            let (types, queues) = match (self.held[index], self.was_short[index]) {
                (false, _) => (&mut filter.except_types, &mut filter.except_queues),
                (true, false) => (&mut filter.single_types, &mut filter.single_queues),
                (true, true) => continue,
            };
            match &limit.of {
                Of::Queue(queue) => queues.push(queue.clone()),
                Of::Handler(handler) => types.extend(names(handler).map(str::to_owned)),
            }
        }
        filter
    }

    /// Returns the filter for a batch of this type, which is one run however many messages it has.
    pub(super) fn filter_for_batch(
        &self,
        filter: DequeueFilter,
        request_type: &str,
        first: &MessageId,
    ) -> DequeueFilter {
        let filter = self.filter(filter).request_type(request_type).joins(first.clone());
        DequeueFilter { single_types: Vec::new(), single_queues: Vec::new(), ..filter }
    }

    /// Records that the job that needed the permits is done, and whether it was short.
    pub(super) fn note(&mut self, was_short: bool) {
        for (short, held) in self.was_short.iter_mut().zip(&self.held) {
            *short = was_short && *held;
        }
    }

    /// Keeps the permits that this message needs, and releases the others. False if one is missing and unavailable: a
    /// queue has handed out a message that it was told to leave out, or cannot leave it out.
    pub(super) fn release_unneeded(&mut self, queue: &str, handler: Option<&'static Handler>) -> bool {
        let Some(limits) = self.limits.clone() else { return true };
        let needs = |limit: &Limit| match &limit.of {
            Of::Queue(limited) => limited == queue,
            Of::Handler(limited) => handler.is_some_and(|handler| std::ptr::eq(*limited, handler)),
        };
        let mut all_there = true;
        let mut out = lock(&limits.out);
        for (index, limit) in limits.all.iter().enumerate().filter(|(_, limit)| needs(limit)) {
            if !self.held[index] && out[index] < limit.most {
                out[index] += 1;
                self.held[index] = true;
            }
            all_there &= self.held[index];
        }
        drop(out);
        self.give_back(|limit| !needs(limit));
        all_there
    }

    fn give_back(&mut self, which: impl Fn(&Limit) -> bool) {
        let Some(limits) = self.limits.clone() else { return };
        let mut any = false;
        let mut out = lock(&limits.out);
        for (index, limit) in limits.all.iter().enumerate() {
            if self.held[index] && which(limit) {
                out[index] -= 1;
                (self.held[index], self.was_short[index]) = (false, false);
                any = true;
            }
        }
        drop(out);
        if any && limits.waiting.load(Ordering::SeqCst) > 0 {
            limits.queue.interrupt();
        }
    }
}

impl Drop for Permits {
    fn drop(&mut self) {
        self.give_back(|_| true);
    }
}

fn names(handler: &'static Handler) -> impl Iterator<Item = &'static str> {
    std::iter::once(handler.request_type()).chain(handler.aliases().iter().copied())
}
