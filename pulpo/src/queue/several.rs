//! Several servers as one queue.
//!
//! - **Publishing** begins at a random server in each process and takes the servers in turn. A server that refuses
//!   before anything was sent is skipped, and rests for a while; after an unknown outcome no other server is tried.
//! - **A server that is away** is left alone by all callers while another one is there, and asked by one thread in the
//!   background (`server`): a server that accepts connections and never answers delays no caller for long.
//! - **Working** takes jobs from all servers. A lane first asks each server without waiting. While all are empty, one
//!   thread per server waits there on behalf of all lanes (`watch`): an idle worker picks up a job as fast as from a
//!   single server, and each process has one wait at each server.
//! - **Ids** begin with the name of the server: `a:11300/42`.
//! - **Inspection and administration** go to all servers at once. The result covers the servers that answer;
//!   [`Inspection::take_unreachable`] names the others.
//! - **One server under two names** is refused, if the servers tell their identity (`identity`).
//!
//! Priority and order hold on each server, not between them ([`Capabilities::total_order`]). A message stays at its
//! server: while that is unreachable, the message waits for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use self::consumer::SeveralConsumer;
#[cfg(feature = "beanstalkd")]
pub(crate) use self::server::Identify;
use self::server::{Server, Told};
use self::shared::Shared;
use self::watch::Watch;
use super::{
    Capabilities, Consumer, Enqueued, Filter, Inspection, NewMessage, QueueAdapter, QueueError, Route, Stats,
    StoredMessage, Survey, Unreachable,
};
use crate::clock::Clock as _;
use crate::message::MessageId;
use crate::process::fork::PerProcess;
use crate::sync::lock;

mod ask;
mod away;
mod consumer;
mod identity;
mod merge;
mod server;
mod shared;
mod watch;

/// How long a worker waits at its start for the identities of its servers. A server that answers later is left out
/// then, if it is one of the others.
const START_PATIENCE: Duration = Duration::from_secs(2);

/// Several servers as one queue. Cheap to clone: all clones share one queue.
#[derive(Clone)]
pub struct Several {
    shared: Arc<Shared>,
    /// The waits of this process's workers, by the queues that they serve.
    watches: Arc<PerProcess<Watches>>,
}

type Watches = Mutex<BTreeMap<Vec<String>, Weak<Watch>>>;

impl fmt::Debug for Several {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Several").field(&self.shared).finish()
    }
}

impl Several {
    /// Makes one queue of these servers. Their names must differ; each id begins with the name of its server.
    ///
    /// # Panics
    /// If there is no server, or two of them have the same name.
    #[must_use]
    pub fn new(servers: Vec<(String, Arc<dyn QueueAdapter>)>) -> Self {
        Self::of(servers.into_iter().map(|(name, queue)| Server::new(name, queue, None)).collect())
    }

    /// Makes one queue of these servers, and refuses one server under two names.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[cfg(feature = "beanstalkd")]
    pub(crate) fn identified(servers: Vec<(String, Arc<dyn QueueAdapter>, Identify)>) -> Self {
        let server = |(name, queue, identify)| Server::new(name, queue, Some(identify));
        Self::of(servers.into_iter().map(server).collect())
    }

    fn of(servers: Vec<Server>) -> Self {
        let names: BTreeSet<_> = servers.iter().map(|server| &server.name).collect();
        assert!(!servers.is_empty() && names.len() == servers.len(), "expected servers with different names");
        Self { shared: Arc::new(Shared::new(servers)), watches: Arc::new(PerProcess::new()) }
    }

    /// Returns which servers are one, as far as they tell it within this time.
    #[cfg(feature = "beanstalkd")]
    pub(crate) fn conflict(&self, patience: Duration) -> Option<String> {
        let error = self.shared.identify_all(patience, Told::Caller).err()?;
        Some(std::error::Error::source(&error).unwrap_or(&error).to_string())
    }
}

impl QueueAdapter for Several {
    /// Returns the capabilities that all servers share; a batch may be spread over several.
    fn capabilities(&self) -> Capabilities {
        let mut all = self.shared.servers.iter().map(|server| server.queue.capabilities());
        let first = all.next().unwrap_or_default();
        all.fold(merge::common(first, first), merge::common)
    }

    fn enqueue(&self, mut messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError> {
        let Shared { servers, clock, .. } = &*self.shared;
        let (of, mut taken, mut failed) = (messages.len(), Vec::new(), None);
        for at in self.shared.in_turn() {
            let (server, began) = (&servers[at], clock.uptime());
            if self.shared.passes_over(at) {
                continue;
            }
            let (ids, error) = match server.queue.enqueue(messages.clone()) {
                Ok(enqueued) => {
                    server.accepted(began);
                    let named = enqueued.into_iter().map(|one| Enqueued { id: server.id(&one.id), ..one });
                    taken.extend(named);
                    return Ok(taken);
                }
                Err(QueueError::PartOfBatch { ids, source, .. }) => (ids, *source),
                Err(error) => (Vec::new(), error),
            };
            messages.drain(..ids.len().min(messages.len()));
            taken.extend(ids.iter().map(|id| Enqueued::new(server.id(id))));
            if error.is_refusal() {
                self.shared.refused(at, &error);
            } else if error.is_outage() || matches!(error, QueueError::UnknownOutcome { .. }) {
                self.shared.failed(at, &error, began, Told::Nobody);
            }
            let may_go_on = error.is_outage();
            failed = Some(error);
            if !may_go_on {
                break;
            }
        }
        let away = || servers.iter().find_map(|server| server.health().error());
        // Another thread may have found out between two checks that one is back.
        let none = || QueueError::Unavailable { doing: "publish to any server".to_owned(), source: "try again".into() };
        let error = failed.or_else(away).unwrap_or_else(none);
        Err(if taken.is_empty() {
            error
        } else {
            let ids = taken.into_iter().map(|one| one.id).collect();
            QueueError::PartOfBatch { ids, of, source: Box::new(error) }
        })
    }

    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        let watches = self.watches.get_or_init(Mutex::default);
        let works = lock(watches).values().any(|watch| watch.strong_count() > 0);
        if !works {
            self.shared.identify_all(START_PATIENCE, Told::Nobody)?;
        }
        let mut watches = lock(watches);
        watches.retain(|_, watch| watch.strong_count() > 0);
        let watch = match watches.get(queues).and_then(Weak::upgrade) {
            Some(watch) => watch,
            None => {
                let watch = Watch::start(&self.shared, queues);
                watches.insert(queues.to_vec(), Arc::downgrade(&watch));
                watch
            }
        };
        // Refuses a queue name here that a server cannot accept.
        let consumers = self.shared.servers.iter().map(|server| server.queue.consumer(queues));
        Ok(Box::new(SeveralConsumer::new(self.shared.clone(), watch, consumers.collect::<Result<_, _>>()?)))
    }

    fn declare(&self, routes: Vec<Route>) {
        self.shared.servers.iter().for_each(|server| server.queue.declare(routes.clone()));
    }

    fn check_rights(&self) -> Result<(), QueueError> {
        self.shared.servers.iter().try_for_each(|server| server.queue.check_rights())
    }

    fn stores(&self) -> Result<Vec<String>, QueueError> {
        let mut all = Vec::new();
        for server in &self.shared.servers {
            match server.queue.stores() {
                Ok(its) if its.is_empty() => return Ok(Vec::new()),
                Ok(its) => all.extend(its),
                // The messages of the others can still be moved.
                Err(error) if error.is_outage() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    fn interrupt(&self) {
        for watch in lock(self.watches.get_or_init(Mutex::default)).values().filter_map(Weak::upgrade) {
            watch.interrupt();
        }
        for server in &self.shared.servers {
            server.queue.interrupt();
        }
    }
}

impl Inspection for Several {
    /// Asks the server that has the message. An id without the name of a server matches nothing.
    fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        let Some((at, id)) = self.shared.of(id) else {
            // The servers are asked anyway, so that an outage of all is reported as an error.
            self.shared.reach(id)?;
            return Ok(None);
        };
        let server = &self.shared.servers[at];
        Ok(server.queue.peek(&id)?.map(|found| server.named(found)))
    }

    fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        Ok(self.survey(filter, true)?.messages)
    }

    fn survey(&self, filter: &Filter, texts: bool) -> Result<Survey, QueueError> {
        let surveys = self.shared.ask(|at, queue| {
            let Some(part) = self.shared.part(at, filter) else { return Ok((at, Survey::new(Vec::new(), 0))) };
            Ok((at, queue.survey(&part, texts)?))
        })?;
        let unseen = surveys.iter().map(|(_, survey)| survey.unseen).sum();
        let all = surveys.into_iter().flat_map(|(at, survey)| survey.messages.into_iter().map(move |one| (at, one)));
        let merged = merge::newest_first(all.collect()).into_iter();
        let named = merged.map(|(at, message)| self.shared.servers[at].named(message));
        Ok(Survey::new(named.take(filter.limit.unwrap_or(usize::MAX)).collect(), unseen))
    }

    fn stats(&self) -> Result<Stats, QueueError> {
        self.shared.sum(|queue| queue.stats())
    }

    fn stats_of(&self, queues: &[String]) -> Result<Stats, QueueError> {
        self.shared.sum(|queue| queue.stats_of(queues))
    }

    fn kick(&self, filter: &Filter) -> Result<u64, QueueError> {
        self.shared.change(filter, |queue, part| queue.kick(part))
    }

    fn delete(&self, filter: &Filter) -> Result<u64, QueueError> {
        self.shared.change(filter, |queue, part| queue.delete(part))
    }

    /// Pauses the queue on each server. A server that does not know the queue has nothing to pause; it is reported like
    /// an unreachable one, because it would hand out a message that arrives there.
    fn pause(&self, queue: &str, time: Duration) -> Result<(), QueueError> {
        let paused = self.shared.ask(|at, server| match server.pause(queue, time) {
            Err(unknown @ QueueError::NoSuchQueue { .. }) => Ok(Some((at, unknown))),
            paused => paused.map(|()| None),
        })?;
        let is_paused = paused.iter().any(Option::is_none);
        for (at, unknown) in paused.into_iter().flatten() {
            if !is_paused {
                return Err(unknown);
            }
            self.shared.note(at, &unknown);
        }
        Ok(())
    }

    fn backup(&self, file: &Path) -> Result<u64, QueueError> {
        let _ = file;
        Err(QueueError::Unsupported("be copied into a file: it is on several servers, each with data of its own"))
    }

    fn take_unreachable(&self) -> Vec<Unreachable> {
        self.shared.take_unreachable().into_iter().map(|(server, error)| Unreachable::new(server, error)).collect()
    }
}
