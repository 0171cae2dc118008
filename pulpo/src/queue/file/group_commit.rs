//! Group commit: what threads and tasks want to write while a transaction runs
//! goes into the next one together.
//!
//! The first thread to find no active writer becomes the leader: it commits
//! all pending requests as one group, and hands the lead to one of those that
//! came in the meantime. A single thread so pays no hand-over, and many threads
//! share a sync of the disk. A task of async code may not block, and so never
//! leads: where no thread does, the [`Committer`], a thread of the writer's
//! own, leads for it, and a waker tells the task.
//!
//! Those that were just told that theirs is on the disk mostly come again at
//! once. So the next leader waits for them before it has the disk synced, for
//! as long as a sync takes at most: else two halves of them would take turns,
//! with twice as many syncs. Nobody waits for others that were not there the
//! last time.
//!
//! # Invariants
//! - Whatever becomes of a leader, everybody in its group is told, and another
//!   one leads.
//! - While requests are pending, there is a leader, or the committer is told
//!   to lead.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::{Clock as _, SystemClock};
use crate::guard::catch;
use crate::sync::{Arc, Condvar, Mutex, lock, wait_timeout_while, wait_while};

/// How long a leader waits for others at most, however long a sync takes.
const MAX_GROUP_WINDOW: Duration = Duration::from_millis(1);

/// Where a group is committed.
pub(super) trait Storage: Send + Sync + 'static {
    type Request: Send + 'static;
    type Error: Clone + Send + 'static;

    /// Writes all of the group; what became of each.
    fn commit(&self, group: &mut [Self::Request]) -> Vec<Result<(), Self::Error>>;

    /// Whether this one is to be on the disk when its caller is told.
    fn wants_sync(request: &Self::Request) -> bool;

    /// Why a request failed whose leader panicked.
    fn panicked() -> Self::Error;
}

pub(super) struct GroupCommit<S: Storage> {
    pub(super) storage: S,
    /// Real time, whatever the queue's clock is.
    clock: SystemClock,
    pending: Mutex<Pending<S>>,
    /// As many are pending as the leader waits for.
    complete: Condvar,
    pub(super) committer: Arc<Committer>,
}

/// What is to be written.
struct Pending<S: Storage> {
    has_leader: bool,
    /// The leader waits for more to come.
    gathers: bool,
    requests: Vec<Submitted<S>>,
    /// How many wanted a sync when the last one was done, or had just had it.
    expected_syncs: usize,
    /// How long that one took, with all that was written.
    sync_took: Duration,
}

struct Submitted<S: Storage> {
    request: S::Request,
    waiter: Arc<Waiter<S::Error>>,
    /// Whether a thread waits for it, which can lead.
    can_lead: bool,
}

impl<S: Storage> Pending<S> {
    /// How many want a sync.
    fn syncs(&self) -> usize {
        self.requests.iter().filter(|submitted| S::wants_sync(&submitted.request)).count()
    }

    fn is_complete(&self) -> bool {
        self.syncs() >= self.expected_syncs
    }
}

/// A thread or a task that waits.
pub(super) struct Waiter<E> {
    inbox: Mutex<Inbox<E>>,
    told: Condvar,
}

struct Inbox<E> {
    reply: Option<Reply<E>>,
    recipient: Recipient,
}

enum Recipient {
    /// Nobody waits yet; a leader tells itself. To wake nobody is a system call
    /// too.
    Nobody,
    Thread,
    Task(Waker),
}

enum Reply<E> {
    Lead,
    Done(Result<(), E>),
}

impl<E> Default for Waiter<E> {
    fn default() -> Self {
        Self { inbox: Mutex::new(Inbox { reply: None, recipient: Recipient::Nobody }), told: Condvar::new() }
    }
}

impl<E> Waiter<E> {
    fn tell(&self, reply: Reply<E>) {
        let mut inbox = lock(&self.inbox);
        inbox.reply = Some(reply);
        match std::mem::replace(&mut inbox.recipient, Recipient::Nobody) {
            Recipient::Nobody => {}
            Recipient::Thread => self.told.notify_one(),
            Recipient::Task(waker) => {
                drop(inbox);
                // An executor's code must not keep the others from being told.
                let _ = catch(|| waker.wake());
            }
        }
    }

    fn wait(&self) -> Reply<E> {
        let mut inbox = lock(&self.inbox);
        loop {
            match inbox.reply.take() {
                Some(reply) => return reply,
                None => {
                    inbox.recipient = Recipient::Thread;
                    inbox = wait_while(&self.told, inbox, |inbox| inbox.reply.is_none());
                }
            }
        }
    }

    /// For a task: its result, or the task is woken when it is there.
    pub(super) fn poll(&self, task: &Context<'_>) -> Poll<Result<(), E>> {
        let mut inbox = lock(&self.inbox);
        match inbox.reply.take() {
            Some(Reply::Done(done)) => Poll::Ready(done),
            Some(Reply::Lead) => unreachable!("a task never leads"),
            None => {
                inbox.recipient = Recipient::Task(task.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<S: Storage> GroupCommit<S> {
    pub(super) fn new(storage: S) -> Self {
        let pending = Pending {
            has_leader: false,
            gathers: false,
            requests: Vec::new(),
            expected_syncs: 0,
            sync_took: Duration::ZERO,
        };
        Self {
            storage,
            clock: SystemClock::new(),
            pending: Mutex::new(pending),
            complete: Condvar::new(),
            committer: Arc::default(),
        }
    }

    /// Commits it with those of others, and returns when that is done.
    pub(super) fn write(&self, request: S::Request) -> Result<(), S::Error> {
        let waiter = Arc::new(Waiter::default());
        let mut reply = if self.submit(request, &waiter, true) { Reply::Lead } else { waiter.wait() };
        if matches!(reply, Reply::Lead) {
            self.lead();
            reply = waiter.wait();
        }
        match reply {
            Reply::Done(done) => done,
            Reply::Lead => unreachable!("a leader is told the result of its own write"),
        }
    }

    /// Has it committed with those of others; the waiter is told.
    pub(super) fn write_for_a_task(&self, request: S::Request, waiter: &Arc<Waiter<S::Error>>) {
        if self.submit(request, waiter, false) {
            self.committer.tell_to_lead();
        }
    }

    /// Adds a request. Says whether its caller, or the committer for it, leads
    /// now.
    fn submit(&self, request: S::Request, waiter: &Arc<Waiter<S::Error>>, can_lead: bool) -> bool {
        let mut pending = lock(&self.pending);
        pending.requests.push(Submitted { request, waiter: waiter.clone(), can_lead });
        if pending.gathers && pending.is_complete() {
            self.complete.notify_one();
        }
        !std::mem::replace(&mut pending.has_leader, true)
    }

    /// Commits all that is pending, the leader's own among it, and hands over.
    fn lead(&self) {
        self.lead_once(false);
    }

    /// The same, for the committer. Says whether it has kept the lead: the tasks
    /// that were just told mostly come again at once, and then need not wake it
    /// only to have it wait for the others.
    pub(super) fn lead_for_tasks(&self) -> bool {
        self.lead_once(true)
    }

    fn lead_once(&self, for_tasks: bool) -> bool {
        let mut leading = Leading { all: self, waiters: Vec::new(), is_over: false };
        let mut group = self.gather(&mut leading, for_tasks);
        if group.is_empty() {
            return false;
        }
        let started = self.clock.uptime();
        let results = self.storage.commit(&mut group);
        self.remember(&group, started);
        drop(group);
        for (waiter, done) in std::mem::take(&mut leading.waiters).into_iter().zip(results) {
            waiter.tell(Reply::Done(done));
        }
        leading.hand_over(for_tasks)
    }

    /// All that is pending, once those have come again that were just told.
    fn gather(&self, leading: &mut Leading<'_, S>, for_tasks: bool) -> Vec<S::Request> {
        let mut pending = lock(&self.pending);
        if (for_tasks || pending.syncs() > 0) && !pending.is_complete() {
            let window = pending.sync_took.min(MAX_GROUP_WINDOW);
            pending.gathers = true;
            let waits = (&self.complete, &self.pending);
            pending = wait_timeout_while(waits, pending, window, |pending| !pending.is_complete());
            pending.gathers = false;
        }
        let submitted = std::mem::take(&mut pending.requests);
        drop(pending);
        let (requests, waiters) = submitted.into_iter().map(|one| (one.request, one.waiter)).unzip();
        leading.waiters = waiters;
        requests
    }

    /// Before anybody is told, and can come again.
    fn remember(&self, group: &[S::Request], started: Duration) {
        let syncs = group.iter().filter(|request| S::wants_sync(request)).count();
        if syncs == 0 {
            return;
        }
        let mut pending = lock(&self.pending);
        pending.expected_syncs = syncs + pending.syncs();
        pending.sync_took = self.clock.uptime().saturating_sub(started);
    }
}

/// One thread's time as the leader. However it ends, everybody in its group is
/// told, and another one leads: else all would wait for ever.
struct Leading<'a, S: Storage> {
    all: &'a GroupCommit<S>,
    /// Those that have not been told.
    waiters: Vec<Arc<Waiter<S::Error>>>,
    /// It leads again, or has handed over.
    is_over: bool,
}

impl<S: Storage> Leading<'_, S> {
    /// Has a thread lead that waits, or the committer where tasks wait. Says
    /// whether this one leads again, if it would keep the lead.
    fn hand_over(&mut self, would_keep: bool) -> bool {
        self.is_over = true;
        let mut pending = lock(&self.all.pending);
        let next = pending.requests.iter().find(|submitted| submitted.can_lead).map(|next| next.waiter.clone());
        match next {
            Some(next) => {
                drop(pending);
                next.tell(Reply::Lead);
                false
            }
            None if would_keep => true,
            None if pending.requests.is_empty() => {
                pending.has_leader = false;
                false
            }
            None => {
                drop(pending);
                self.all.committer.tell_to_lead();
                false
            }
        }
    }
}

impl<S: Storage> Drop for Leading<'_, S> {
    fn drop(&mut self) {
        for waiter in self.waiters.drain(..) {
            waiter.tell(Reply::Done(Err(S::panicked())));
        }
        if !self.is_over {
            self.hand_over(false);
        }
    }
}

/// Whether a thread beside the callers is to lead.
#[derive(Debug, Default)]
pub(super) struct Committer {
    state: Mutex<CommitterState>,
    told: Condvar,
}

#[derive(Debug, Default)]
struct CommitterState {
    runs: bool,
    waits: bool,
    is_to_lead: bool,
    is_over: bool,
}

impl Committer {
    /// Whether its thread is to be started now, by the caller.
    pub(super) fn is_to_be_started(&self) -> bool {
        !std::mem::replace(&mut lock(&self.state).runs, true)
    }

    /// There is no thread.
    pub(super) fn has_not_started(&self) {
        lock(&self.state).runs = false;
    }

    fn tell_to_lead(&self) {
        let mut state = lock(&self.state);
        state.is_to_lead = true;
        if state.waits {
            drop(state);
            self.told.notify_one();
        }
    }

    /// Waits until it is to lead; false once the writer is gone.
    pub(super) fn wait(&self) -> bool {
        let mut state = lock(&self.state);
        state.waits = true;
        state = wait_while(&self.told, state, |state| !state.is_to_lead && !state.is_over);
        state.waits = false;
        state.is_to_lead = false;
        !state.is_over
    }

    /// The writer goes.
    pub(super) fn end(&self) {
        lock(&self.state).is_over = true;
        self.told.notify_one();
    }
}

// Not where `tests/models` compiles this file.
#[cfg(all(test, feature = "file"))]
mod tests;
