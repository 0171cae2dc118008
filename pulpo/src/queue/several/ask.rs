//! Asks all servers at once, so that one that is slow delays a call no longer than its own answer takes.
//!
//! Servers that are known to be slow to fail are not asked: they take no part until they are back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::merge;
use super::server::Told;
use super::shared::Shared;
use crate::clock::Clock as _;
use crate::message::MessageId;
use crate::queue::{Filter, QueueAdapter, QueueError, Stats, Unreachable};
use crate::report::chain;

/// How long to wait for the identity of each server before all are asked: longer than a connection takes to fail.
const IDENTITY_PATIENCE: Duration = Duration::from_secs(3600);

/// The answer of each server, in their order.
type Answers<R> = Vec<Result<R, QueueError>>;

impl Shared {
    /// Asks one server, and records whether it answers.
    fn ask_one<R>(
        self: &Arc<Self>,
        at: usize,
        ask: &impl Fn(usize, &dyn QueueAdapter) -> Result<R, QueueError>,
    ) -> Result<R, QueueError> {
        let server = &self.servers[at];
        if self.passes_over(at)
            && let Some(objection) = server.health().objection()
        {
            return Err(objection);
        }
        let began = self.clock.uptime();
        let answer = ask(at, &*server.queue);
        match &answer {
            Ok(_) => server.answered(self.clock.uptime()),
            Err(error) if error.is_outage() => self.failed(at, error, began, Told::Caller),
            Err(_) => {}
        }
        answer
    }

    /// Asks all servers at once.
    fn ask_each<R: Send>(
        self: &Arc<Self>,
        ask: &(impl Fn(usize, &dyn QueueAdapter) -> Result<R, QueueError> + Sync),
    ) -> Answers<R> {
        std::thread::scope(|scope| {
            let last = self.servers.len() - 1;
            let asking: Vec<_> = (0..last)
                .map(|at| {
                    let thread = std::thread::Builder::new().name("pulpo-servers-ask".to_owned());
                    // Without a thread, it is asked here.
                    thread.spawn_scoped(scope, move || self.ask_one(at, ask)).map_err(|_| at)
                })
                .collect();
            let of_last = self.ask_one(last, ask);
            let answered = |asked: Result<std::thread::ScopedJoinHandle<'_, _>, usize>| match asked {
                Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(at) => self.ask_one(at, ask),
            };
            let mut answers: Answers<R> = asking.into_iter().map(answered).collect();
            answers.push(of_last);
            answers
        })
    }

    /// Returns the answers of the servers that answer. An error if none does, or if one refuses for a reason other than
    /// being away.
    fn gather<R>(&self, answers: Answers<R>) -> Result<Vec<R>, QueueError> {
        let (mut gathered, mut failed) = (Vec::new(), None);
        for (at, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok(answer) => gathered.push(answer),
                Err(error) if error.is_outage() || self.servers[at].health().is_left_out() => {
                    self.note(at, &error);
                    failed.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        match failed {
            Some(error) if gathered.is_empty() => Err(error),
            _ => Ok(gathered),
        }
    }

    /// Asks all servers at once, and returns the answers as [`gather`](Self::gather) does.
    pub(super) fn ask<R: Send>(
        self: &Arc<Self>,
        ask: impl Fn(usize, &dyn QueueAdapter) -> Result<R, QueueError> + Sync,
    ) -> Result<Vec<R>, QueueError> {
        self.identify_all(IDENTITY_PATIENCE, Told::Caller)?;
        self.gather(self.ask_each(&ask))
    }

    /// Asks whether any server answers, and returns as soon as one does.
    pub(super) fn reach(self: &Arc<Self>, id: &MessageId) -> Result<(), QueueError> {
        let (tell, told) = mpsc::channel();
        for at in 0..self.servers.len() {
            let (shared, tell, id) = (self.clone(), tell.clone(), id.clone());
            let peek = move || {
                // The caller may have its answer.
                let _ = tell.send(shared.ask_one(at, &|_, queue: &dyn QueueAdapter| queue.peek(&id)).map(drop));
            };
            if let Err(error) = std::thread::Builder::new().name("pulpo-servers-ask".to_owned()).spawn(peek) {
                let source = Box::new(error);
                return Err(QueueError::Unavailable { doing: "start a thread to ask a server".to_owned(), source });
            }
        }
        drop(tell);
        let mut failed = None;
        for answer in told {
            match answer {
                Ok(()) => return Ok(()),
                Err(error) => _ = failed.get_or_insert(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Applies a change to each server's part of the filter, up to the filter's limit.
    pub(super) fn change(
        self: &Arc<Self>,
        filter: &Filter,
        change: impl Fn(&dyn QueueAdapter, &Filter) -> Result<u64, QueueError> + Sync,
    ) -> Result<u64, QueueError> {
        let done = AtomicUsize::new(0);
        let change_part = |at: usize, queue: &dyn QueueAdapter| {
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
        };
        let counts = if filter.limit.is_none() {
            self.ask(change_part)?
        } else {
            // One after the other: each has what the others leave of the limit.
            self.identify_all(IDENTITY_PATIENCE, Told::Caller)?;
            self.gather((0..self.servers.len()).map(|at| self.ask_one(at, &change_part)).collect())?
        };
        Ok(counts.into_iter().sum())
    }

    /// Returns the combined statistics, and which servers did not answer.
    pub(super) fn sum(
        self: &Arc<Self>,
        stats: impl Fn(&dyn QueueAdapter) -> Result<Stats, QueueError> + Sync,
    ) -> Result<Stats, QueueError> {
        self.identify_all(IDENTITY_PATIENCE, Told::Caller)?;
        let answers = self.ask_each(&|_, queue: &dyn QueueAdapter| stats(queue));
        let away = |(at, answer): (usize, &Result<_, QueueError>)| {
            answer.as_ref().err().map(|error| Unreachable::new(&self.servers[at].name, chain(error)))
        };
        let away: Vec<_> = answers.iter().enumerate().filter_map(away).collect();
        let mut sum = merge::sum(self.gather(answers)?);
        sum.unreachable.extend(away);
        Ok(sum)
    }
}
