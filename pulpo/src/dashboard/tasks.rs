//! Changes to all matching jobs, in the background.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;

use super::html::Problem;
use crate::guard;
use crate::message::MessageId;
use crate::queue::{Cancelled, Filter, MessageState, QueueAdapter, QueueError, Survey};
use crate::report::chain;
use crate::sync::lock;

/// Maximum number of tasks to remember.
const REMEMBERED: usize = 100;

/// Maximum number of concurrent tasks.
const AT_A_TIME: usize = 2;

/// Jobs per transaction: short ones, so that the workers can continue in between.
const PART: usize = 1000;

/// A queue that scans all its messages for each part gets all jobs in this many parts.
const PARTS: usize = 8;

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
        let known = Self::ALL.into_iter().find(|deed| deed.name() == text);
        known.ok_or_else(|| format!("expected the action to be retry, delete or cancel, got {text:?}"))
    }
}

impl Deed {
    pub(super) const ALL: [Self; 3] = [Self::Retry, Self::Cancel, Self::Delete];

    /// Returns its value in forms.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Delete => "delete",
            Self::Cancel => "cancel",
        }
    }

    /// Returns its name on buttons.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Retry => "Retry",
            Self::Delete => "Delete",
            Self::Cancel => "Cancel",
        }
    }

    /// Returns the states in which the action is possible.
    pub(super) const fn reach(self) -> &'static [MessageState] {
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

    /// Returns whether the action is possible in any state of the filter.
    pub(super) fn fits(self, filter: &Filter) -> bool {
        self.reach().iter().any(|state| filter.has_state(*state))
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
    /// How many more may match that the queue cannot list.
    pub(super) unseen: AtomicU64,
    pub(super) looked: AtomicU64,
    pub(super) touched: AtomicU64,
    /// The servers that did not take part, each with its error.
    pub(super) away: Mutex<Vec<String>>,
    pub(super) stop: AtomicBool,
    pub(super) end: Mutex<Option<Result<(), String>>>,
}

impl Tasks {
    /// Starts a task on a new thread. Returns its number.
    pub(super) fn start(&self, queue: Arc<dyn QueueAdapter>, deed: Deed, filter: Filter) -> Result<u64, Problem> {
        self.begin(deed, move |task| task.run(&*queue, &filter).map_err(|error| chain(&error)))
    }

    fn begin(
        &self,
        deed: Deed,
        work: impl FnOnce(&Task) -> Result<(), String> + Send + 'static,
    ) -> Result<u64, Problem> {
        let mut all = lock(&self.all);
        let running = all.iter().filter(|(_, task)| !task.has_ended()).count();
        if running >= AT_A_TIME {
            let problem = format!("{running} tasks are running already: wait until one ends, or stop it");
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, problem));
        }
        let task = Arc::new(Task {
            deed,
            found: AtomicU64::new(0),
            unseen: AtomicU64::new(0),
            looked: AtomicU64::new(0),
            touched: AtomicU64::new(0),
            away: Mutex::default(),
            stop: AtomicBool::new(false),
            end: Mutex::default(),
        });
        let running = task.clone();
        let started = std::thread::Builder::new().name("pulpo-dashboard".to_owned()).spawn(move || {
            // A task without an end would count as running for ever.
            let end = guard::catch(|| work(&running)).unwrap_or_else(|panic| Err(format!("it panicked: {panic}")));
            *lock(&running.end) = Some(end);
        });
        started.map_err(|error| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("cannot start a thread: {error}"))
        })?;
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        if all.len() >= REMEMBERED
            && let Some(oldest) = all.iter().position(|(_, task)| task.has_ended())
        {
            all.remove(oldest);
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
    fn has_ended(&self) -> bool {
        lock(&self.end).is_some()
    }

    /// Finds the jobs first, as the command line does. Jobs that arrive later are not changed, so the task ends.
    fn run(&self, queue: &dyn QueueAdapter, filter: &Filter) -> Result<(), QueueError> {
        let narrowed = self.deed.narrowed(filter);
        if narrowed.states.is_empty() {
            return Ok(());
        }
        // Forget the servers that did not answer earlier calls.
        drop(queue.take_unreachable());
        let outcome = self.find(queue, &narrowed).and_then(|meant| self.touch(queue, &narrowed, &meant));
        let away = queue.take_unreachable().into_iter().map(|it| format!("{}: {}", it.server, it.error));
        *lock(&self.away) = away.collect();
        outcome?;
        if self.touched.load(Ordering::Relaxed) > 0 { erase(queue, self.deed) } else { Ok(()) }
    }

    fn find(&self, queue: &dyn QueueAdapter, filter: &Filter) -> Result<Vec<MessageId>, QueueError> {
        let mut meant: Vec<MessageId> = Vec::new();
        let mut page = filter.clone();
        // A queue that scans all its messages for each page returns them in one.
        page.limit = queue.capabilities().complete_lists.then_some(PART);
        while !self.stop.load(Ordering::Relaxed) {
            let Survey { messages, unseen, .. } = queue.survey(&page, false)?;
            let is_last = page.limit.is_none_or(|limit| messages.len() < limit);
            page.after = messages.last().map(|message| message.id.clone());
            meant.extend(messages.into_iter().map(|message| message.id));
            self.found.store(meant.len() as u64, Ordering::Relaxed);
            self.unseen.store(unseen, Ordering::Relaxed);
            if is_last {
                break;
            }
        }
        Ok(meant)
    }

    fn touch(&self, queue: &dyn QueueAdapter, filter: &Filter, meant: &[MessageId]) -> Result<(), QueueError> {
        let unseen = self.unseen.load(Ordering::Relaxed);
        if unseen > 0 && filter.is_by_queue_and_state() && !self.stop.load(Ordering::Relaxed) {
            // For these the queue has a command that needs no list.
            let all = meant.len() as u64 + unseen;
            self.found.store(all, Ordering::Relaxed);
            self.touched.store(self.deed.act(queue, filter)?, Ordering::Relaxed);
            self.looked.store(all, Ordering::Relaxed);
            self.unseen.store(0, Ordering::Relaxed);
            return Ok(());
        }
        let lists_all = queue.capabilities().complete_lists;
        let part = if lists_all { PART } else { PART.max(meant.len().div_ceil(PARTS)) };
        for part in meant.chunks(part) {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let touched = self.deed.act(queue, &filter.clone().ids(part.iter().cloned()))?;
            self.touched.fetch_add(touched, Ordering::Relaxed);
            self.looked.fetch_add(part.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::*;

    fn ended(tasks: &Tasks, id: u64) -> Result<(), String> {
        let task = tasks.get(id).expect("it is remembered");
        let late = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(end) = lock(&task.end).clone() {
                return end;
            }
            assert!(Instant::now() < late, "it does not end");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_task_that_panics_has_ended_and_says_so() {
        let tasks = Tasks::default();
        for _ in 0..2 * AT_A_TIME {
            let id = tasks.begin(Deed::Retry, |_| panic!("a fault of the adapter")).expect("started");
            assert_eq!(ended(&tasks, id), Err("it panicked: a fault of the adapter".to_owned()));
        }
    }

    #[test]
    fn a_running_task_is_remembered_and_the_oldest_ended_one_is_not() {
        let tasks = Tasks::default();
        let (end, ends) = mpsc::channel::<()>();
        let running = tasks.begin(Deed::Delete, move |_| {
            let _ = ends.recv();
            Ok(())
        });
        let running = running.expect("started");
        let ids: Vec<u64> = (0..=REMEMBERED)
            .map(|_| {
                let id = tasks.begin(Deed::Retry, |_| Ok(())).expect("started");
                ended(&tasks, id).expect("no problem");
                id
            })
            .collect();
        assert!(tasks.get(running).is_some(), "it runs");
        assert!(tasks.get(ids[0]).is_none() && tasks.get(ids[1]).is_none());
        assert!(tasks.get(ids[2]).is_some() && tasks.get(ids[REMEMBERED]).is_some());
        assert_eq!(lock(&tasks.all).len(), REMEMBERED);
        drop(end);
        assert_eq!(ended(&tasks, running), Ok(()));
    }
}
