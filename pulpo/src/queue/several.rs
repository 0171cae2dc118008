//! Several servers as one queue.
//!
//! - **Publishing** begins at a random server in each process and takes the servers in turn. A server that refuses
//!   before anything was sent is skipped, and rests for a while; after an unknown outcome no other server is tried.
//! - **Working** takes jobs from all servers. A lane first asks each server without waiting. While all are empty, one
//!   thread per server waits there on behalf of all lanes (`watch`): an idle worker picks up a job as fast as from a
//!   single server, and each process has one wait at each server.
//! - **Ids** begin with the name of the server: `a:11300/42`.
//! - **Inspection and administration** go to all servers. The result covers the servers that answer;
//!   [`Inspection::take_unreachable`] names the others.
//!
//! Priority and order hold on each server, not between them ([`Capabilities::total_order`]). A message stays at its
//! server: while that is unreachable, the message waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use self::consumer::SeveralConsumer;
use self::watch::Watch;
use super::{
    Capabilities, Consumer, Enqueued, Filter, Inspection, NewMessage, QueueAdapter, QueueError, Route, Stats,
    StoredMessage, Survey, Unreachable,
};
use crate::clock::{Clock as _, SystemClock, lock};
use crate::message::MessageId;
use crate::process::fork::PerProcess;
use crate::report::chain;

mod consumer;
mod merge;
mod watch;

/// How long a server rests that did not accept or hand out anything: at first, and at most.
const SHORTEST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(10);

/// Several servers as one queue. Cheap to clone: all clones share one queue.
#[derive(Clone, Debug)]
pub struct Several(Arc<Shared>);

struct Shared {
    servers: Vec<Server>,
    /// The server at which the next publication begins.
    next: AtomicUsize,
    clock: SystemClock,
    /// The servers that did not answer since the last query, with the reasons.
    unreachable: Mutex<BTreeMap<String, String>>,
    /// The waits of this process's workers, by the queues that they serve.
    watches: PerProcess<Mutex<BTreeMap<Vec<String>, std::sync::Weak<Watch>>>>,
}

/// One of the servers.
struct Server {
    name: String,
    queue: Arc<dyn QueueAdapter>,
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

impl Several {
    /// Makes one queue of these servers. Their names must differ; each id begins with the name of its server.
    ///
    /// # Panics
    /// If there is no server, or two of them have the same name.
    #[must_use]
    pub fn new(servers: Vec<(String, Arc<dyn QueueAdapter>)>) -> Self {
        let names: BTreeSet<_> = servers.iter().map(|(name, _)| name).collect();
        assert!(!servers.is_empty() && names.len() == servers.len(), "expected servers with different names");
        let servers: Vec<_> =
            servers.into_iter().map(|(name, queue)| Server { name, queue, rest: Mutex::default() }).collect();
        Self(Arc::new(Shared {
            next: AtomicUsize::new(fastrand::usize(..servers.len())),
            servers,
            clock: SystemClock::new(),
            unreachable: Mutex::default(),
            watches: PerProcess::new(),
        }))
    }
}

impl Server {
    fn id(&self, id: &MessageId) -> MessageId {
        MessageId::from(format!("{}/{id}", self.name))
    }

    fn is_resting(&self, now: Duration) -> bool {
        lock(&self.rest).until.is_some_and(|until| now < until)
    }

    /// Records that the server has answered.
    fn answered(&self) {
        let mut rest = lock(&self.rest);
        if std::mem::take(&mut *rest).until.is_some() {
            tracing::info!(server = self.name, "the server is back");
        }
    }

    /// Records that it has not. Returns how long it rests.
    fn failed(&self, error: &QueueError, now: Duration) -> Duration {
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
}

impl Shared {
    /// Returns the server of a message, by its id, and the id there.
    fn of(&self, id: &MessageId) -> Option<(usize, MessageId)> {
        let (name, id) = id.as_str().rsplit_once('/')?;
        let at = self.servers.iter().position(|server| server.name == name)?;
        Some((at, MessageId::from(id)))
    }

    /// Returns the servers in the order for one publication: in turn, with resting ones last.
    fn in_turn(&self) -> Vec<usize> {
        let (count, now) = (self.servers.len(), self.clock.uptime());
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let mut order: Vec<_> = (0..count).map(|step| first.wrapping_add(step) % count).collect();
        order.sort_by_key(|at| self.servers[*at].is_resting(now));
        order
    }

    /// Asks all servers, and returns the answers of those that answer. An error if none does, or if one refuses for a
    /// reason other than being unreachable.
    fn ask<R>(&self, ask: impl Fn(usize, &dyn QueueAdapter) -> Result<R, QueueError>) -> Result<Vec<R>, QueueError> {
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

    fn note(&self, at: usize, error: &QueueError) {
        lock(&self.unreachable).insert(self.servers[at].name.clone(), chain(error));
    }

    /// Returns the part of a filter that concerns one server; `None` if it matches nothing there.
    fn part(&self, at: usize, filter: &Filter) -> Option<Filter> {
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
    fn change(
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
}

impl QueueAdapter for Several {
    /// Returns the capabilities that all servers share; a batch may be spread over several.
    fn capabilities(&self) -> Capabilities {
        let mut all = self.0.servers.iter().map(|server| server.queue.capabilities());
        let first = all.next().unwrap_or_default();
        all.fold(merge::common(first, first), merge::common)
    }

    fn enqueue(&self, mut messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError> {
        let Shared { servers, clock, .. } = &*self.0;
        let (of, mut taken, mut failed) = (messages.len(), Vec::new(), None);
        for at in self.0.in_turn() {
            let server = &servers[at];
            let (ids, error) = match server.queue.enqueue(messages.clone()) {
                Ok(enqueued) => {
                    server.answered();
                    let named = enqueued.into_iter().map(|one| Enqueued { id: server.id(&one.id), ..one });
                    taken.extend(named);
                    return Ok(taken);
                }
                Err(QueueError::PartOfBatch { ids, source, .. }) => (ids, *source),
                Err(error) => (Vec::new(), error),
            };
            messages.drain(..ids.len().min(messages.len()));
            taken.extend(ids.iter().map(|id| Enqueued::new(server.id(id))));
            let may_go_on = error.is_outage();
            if may_go_on {
                server.failed(&error, clock.uptime());
            }
            failed = Some(error);
            if !may_go_on {
                break;
            }
        }
        let error = failed.expect("there is a server, and it failed");
        Err(if taken.is_empty() {
            error
        } else {
            let ids = taken.into_iter().map(|one| one.id).collect();
            QueueError::PartOfBatch { ids, of, source: Box::new(error) }
        })
    }

    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        let watches = self.0.watches.get_or_init(Mutex::default);
        let mut watches = lock(watches);
        watches.retain(|_, watch| watch.strong_count() > 0);
        let watch = match watches.get(queues).and_then(std::sync::Weak::upgrade) {
            Some(watch) => watch,
            None => {
                let watch = Watch::start(&self.0, queues);
                watches.insert(queues.to_vec(), Arc::downgrade(&watch));
                watch
            }
        };
        // Refuses a queue name here that a server cannot accept.
        let consumers = self.0.servers.iter().map(|server| server.queue.consumer(queues));
        Ok(Box::new(SeveralConsumer::new(self.0.clone(), watch, consumers.collect::<Result<_, _>>()?)))
    }

    fn declare(&self, routes: Vec<Route>) {
        self.0.servers.iter().for_each(|server| server.queue.declare(routes.clone()));
    }

    fn interrupt(&self) {
        for watch in lock(self.0.watches.get_or_init(Mutex::default)).values().filter_map(std::sync::Weak::upgrade) {
            watch.interrupt();
        }
        for server in &self.0.servers {
            server.queue.interrupt();
        }
    }
}

impl Inspection for Several {
    /// Asks the server that has the message. An id without the name of a server matches nothing.
    fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        let Some((at, id)) = self.0.of(id) else {
            // The servers are asked anyway, so that an outage is reported as an error.
            self.0.ask(|_, queue| queue.peek(id))?;
            return Ok(None);
        };
        let server = &self.0.servers[at];
        Ok(server.queue.peek(&id)?.map(|found| server.named(found)))
    }

    fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        Ok(self.survey(filter, true)?.messages)
    }

    fn survey(&self, filter: &Filter, texts: bool) -> Result<Survey, QueueError> {
        let surveys = self.0.ask(|at, queue| {
            let Some(part) = self.0.part(at, filter) else { return Ok((at, Survey::new(Vec::new(), 0))) };
            Ok((at, queue.survey(&part, texts)?))
        })?;
        let unseen = surveys.iter().map(|(_, survey)| survey.unseen).sum();
        let all = surveys.into_iter().flat_map(|(at, survey)| survey.messages.into_iter().map(move |one| (at, one)));
        let merged = merge::newest_first(all.collect()).into_iter();
        let named = merged.map(|(at, message)| self.0.servers[at].named(message));
        Ok(Survey::new(named.take(filter.limit.unwrap_or(usize::MAX)).collect(), unseen))
    }

    fn stats(&self) -> Result<Stats, QueueError> {
        self.0.sum(|queue| queue.stats())
    }

    fn stats_of(&self, queues: &[String]) -> Result<Stats, QueueError> {
        self.0.sum(|queue| queue.stats_of(queues))
    }

    fn kick(&self, filter: &Filter) -> Result<u64, QueueError> {
        self.0.change(filter, |queue, part| queue.kick(part))
    }

    fn delete(&self, filter: &Filter) -> Result<u64, QueueError> {
        self.0.change(filter, |queue, part| queue.delete(part))
    }

    /// Pauses the queue on each server. A server that does not know the queue has nothing to pause; it is reported like
    /// an unreachable one, because it would hand out a message that arrives there.
    fn pause(&self, queue: &str, time: Duration) -> Result<(), QueueError> {
        let paused = self.0.ask(|at, server| match server.pause(queue, time) {
            Err(unknown @ QueueError::NoSuchQueue { .. }) => Ok(Some((at, unknown))),
            paused => paused.map(|()| None),
        })?;
        let is_paused = paused.iter().any(Option::is_none);
        for (at, unknown) in paused.into_iter().flatten() {
            if !is_paused {
                return Err(unknown);
            }
            self.0.note(at, &unknown);
        }
        Ok(())
    }

    fn backup(&self, file: &Path) -> Result<u64, QueueError> {
        let _ = file;
        Err(QueueError::Unsupported("be written into a file: it is on several servers, of which each has its own copy"))
    }

    fn take_unreachable(&self) -> Vec<Unreachable> {
        let all = std::mem::take(&mut *lock(&self.0.unreachable));
        all.into_iter().map(|(server, error)| Unreachable::new(server, error)).collect()
    }
}

impl Server {
    fn named(&self, message: StoredMessage) -> StoredMessage {
        StoredMessage { id: self.id(&message.id), ..message }
    }
}

impl Shared {
    /// Returns the combined statistics, and which servers did not answer.
    fn sum(&self, stats: impl Fn(&dyn QueueAdapter) -> Result<Stats, QueueError>) -> Result<Stats, QueueError> {
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
