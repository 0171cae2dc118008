//! Changes to all matching jobs, in the background.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;

use super::html::Problem;
use crate::clock::lock;
use crate::message::MessageId;
use crate::queue::{Cancelled, Filter, MessageState, QueueAdapter, QueueError};
use crate::report::chain;

/// Maximum number of tasks to remember.
const REMEMBERED: usize = 100;

/// Maximum number of concurrent tasks.
const AT_A_TIME: usize = 2;

/// Jobs per transaction: short ones, so that the workers can continue in between.
const PART: usize = 1000;

/// An action on jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Retry,
    Delete,
    Cancel,
}

impl FromStr for Deed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "retry" => Ok(Self::Retry),
            "delete" => Ok(Self::Delete),
            "cancel" => Ok(Self::Cancel),
            _ => Err(format!("expected the action to be retry, delete or cancel, got {text:?}")),
        }
    }
}

impl Deed {
    /// Returns the states in which the action is possible.
    const fn reach(self) -> &'static [MessageState] {
        match self {
            Self::Retry => &[MessageState::Buried],
            Self::Delete => &[MessageState::Ready, MessageState::Delayed, MessageState::Buried, MessageState::Done],
            Self::Cancel => &[MessageState::Ready, MessageState::Delayed, MessageState::Reserved],
        }
    }

    /// Returns a filter for these jobs, in the states in which the action is possible.
    pub(super) fn named(self, ids: impl IntoIterator<Item = MessageId>) -> Filter {
        Filter { states: self.reach().to_vec(), ..Filter::all().ids(ids) }
    }

    /// Applies the action to the jobs that match the filter and allow it. Returns how many.
    pub(super) fn act(self, queue: &dyn QueueAdapter, filter: &Filter) -> Result<u64, QueueError> {
        let filter = self.narrowed(filter);
        match self {
            _ if filter.states.is_empty() => Ok(0),
            Self::Retry => queue.kick(&filter),
            Self::Delete => queue.delete(&filter),
            Self::Cancel => queue.cancel(&filter).map(Cancelled::total),
        }
    }

    /// Restricts the filter to states in which the action is possible.
    fn narrowed(self, filter: &Filter) -> Filter {
        let states = self.reach().iter().filter(|state| filter.has_state(**state)).copied().collect();
        Filter { states, ..filter.clone() }
    }

    pub(super) const fn done(self) -> &'static str {
        match self {
            Self::Retry => "retried",
            Self::Delete => "deleted",
            Self::Cancel => "cancelled",
        }
    }

    pub(super) const fn refusal(self) -> &'static str {
        match self {
            Self::Retry => "only buried jobs can be retried, and only while no other job has their unique key",
            Self::Delete => "running jobs cannot be deleted",
            Self::Cancel => "only waiting or running jobs can be cancelled",
        }
    }
}

/// Erases the traces of deleted jobs from the files of the queue, if that is quick and holds up no worker.
pub(super) fn erase(queue: &dyn QueueAdapter, deed: Deed) -> Result<(), QueueError> {
    let keeping = queue.keeping().filter(|_| deed == Deed::Delete);
    keeping.map_or(Ok(()), |keeping| keeping.erase_deleted(false))
}

/// The running tasks, and the last finished ones.
#[derive(Default)]
pub(super) struct Tasks {
    all: Mutex<VecDeque<(u64, Arc<Task>)>>,
    last: AtomicU64,
}

pub(super) struct Task {
    pub(super) deed: Deed,
    /// How many jobs matched when the task began, once they are counted.
    pub(super) found: AtomicU64,
    pub(super) looked: AtomicU64,
    pub(super) touched: AtomicU64,
    pub(super) stop: AtomicBool,
    pub(super) end: Mutex<Option<Result<(), String>>>,
}

impl Tasks {
    /// Starts a task on a new thread. Returns its number.
    pub(super) fn start(&self, queue: Arc<dyn QueueAdapter>, deed: Deed, filter: Filter) -> Result<u64, Problem> {
        let mut all = lock(&self.all);
        let running = all.iter().filter(|(_, task)| lock(&task.end).is_none()).count();
        if running >= AT_A_TIME {
            let problem = format!("{running} tasks are running already: wait until one ends, or stop it");
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, problem));
        }
        let task = Arc::new(Task {
            deed,
            found: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            touched: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            end: Mutex::default(),
        });
        let running = task.clone();
        let started = std::thread::Builder::new().name("pulpo-dashboard".to_owned()).spawn(move || {
            let end = running.run(&*queue, &filter);
            *lock(&running.end) = Some(end.map_err(|error| chain(&error)));
        });
        started.map_err(|error| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("cannot start a thread: {error}"))
        })?;
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        if all.len() >= REMEMBERED {
            all.pop_front();
        }
        all.push_back((id, task));
        Ok(id)
    }

    pub(super) fn get(&self, id: u64) -> Option<Arc<Task>> {
        lock(&self.all).iter().find(|(of, _)| *of == id).map(|(_, task)| task.clone())
    }

    fn stop_all(&self) {
        lock(&self.all).iter().for_each(|(_, task)| task.stop.store(true, Ordering::Relaxed));
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.stop_all();
    }
}

impl Task {
    /// Finds the jobs first, as the command line does. Jobs that arrive later are not changed, so the task ends.
    fn run(&self, queue: &dyn QueueAdapter, filter: &Filter) -> Result<(), QueueError> {
        let narrowed = self.deed.narrowed(filter);
        if narrowed.states.is_empty() {
            return Ok(());
        }
        let mut meant: Vec<MessageId> = Vec::new();
        let mut page = narrowed.clone();
        page.limit = Some(PART);
        while !self.stop.load(Ordering::Relaxed) {
            let found = queue.list(&page)?;
            let full = found.len() == PART;
            page.after = found.last().map(|message| message.id.clone());
            meant.extend(found.into_iter().map(|message| message.id));
            self.found.store(meant.len() as u64, Ordering::Relaxed);
            if !full {
                break;
            }
        }
        for part in meant.chunks(PART) {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let touched = self.deed.act(queue, &narrowed.clone().ids(part.iter().cloned()))?;
            self.touched.fetch_add(touched, Ordering::Relaxed);
            self.looked.fetch_add(part.len() as u64, Ordering::Relaxed);
        }
        if self.touched.load(Ordering::Relaxed) > 0 { erase(queue, self.deed) } else { Ok(()) }
    }
}
