//! Group commit: requests that arrive while a transaction runs go into the next one together.
//!
//! The first thread to find no active writer becomes the leader: it commits all pending requests as one group, and
//! hands the lead to one of those that arrived in the meantime. A single thread thus pays no hand-over, and many
//! threads share a sync of the disk. A task of async code may not block, and so never leads: while no thread does, the
//! [`Committer`], a thread that belongs to the writer, leads on its behalf, and a waker wakes the task.
//!
//! Callers whose requests have just reached the disk mostly submit their next ones immediately. So the next leader
//! waits for them before the sync, for at most as long as a sync takes. Otherwise two halves of the callers would take
//! turns, with twice as many syncs. A leader never waits for callers that were not there the last time.
//!
//! # Invariants
//! - Whatever happens to a leader, every member of its group gets a reply, and another leader follows.
//! - While requests are pending, there is a leader, or the committer has been told to lead.
//! - The committer is told only while its thread runs or is being started. Without it, the caller leads.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::{Clock as _, SystemClock};
use crate::guard::catch;
use crate::sync::{Arc, Condvar, Mutex, lock, wait_timeout_while, wait_while};

/// The maximum time for which a leader waits for others, however long a sync takes.
const MAX_GROUP_WINDOW: Duration = Duration::from_millis(1);

/// The storage to which groups are committed.
pub(super) trait Storage: Send + Sync + 'static {
    type Request: Send + 'static;
    type Error: Clone + Send + 'static;

    /// Writes the whole group, and returns the result of each request.
    fn commit(&self, group: &mut [Self::Request]) -> Vec<Result<(), Self::Error>>;

    /// Returns whether a request is to be written again in a later group instead of being told this result.
    fn tries_again(&self, _request: &Self::Request, _done: &Result<(), Self::Error>) -> bool {
        false
    }

    /// Returns whether the request must be on the disk before its caller gets the reply.
    fn wants_sync(request: &Self::Request) -> bool;

    /// Returns the error for requests whose leader panicked.
    fn panicked() -> Self::Error;
}

pub(super) struct GroupCommit<S: Storage> {
    pub(super) storage: S,
    /// Real time, whatever the queue's clock is.
    clock: SystemClock,
    pending: Mutex<Pending<S>>,
    /// Notified when as many requests are pending as the leader waits for.
    complete: Condvar,
    pub(super) committer: Arc<Committer>,
}

/// The requests that are to be written.
struct Pending<S: Storage> {
    has_leader: bool,
    /// Whether the leader is waiting for more requests.
    gathers: bool,
    requests: Vec<Submitted<S>>,
    /// How many requests with a sync to wait for: those of the last such group, and those that were pending when it was
    /// done.
    expected_syncs: usize,
    /// How long that group took to write and sync.
    sync_took: Duration,
}

struct Submitted<S: Storage> {
    request: S::Request,
    waiting: Waiting<S::Error>,
}

/// The caller of a request.
struct Waiting<E> {
    waiter: Arc<Waiter<E>>,
    /// Whether it is a thread, which can lead.
    can_lead: bool,
}

impl<S: Storage> Pending<S> {
    /// Returns how many requests want a sync.
    fn syncs(&self) -> usize {
        self.requests.iter().filter(|submitted| S::wants_sync(&submitted.request)).count()
    }

    fn is_complete(&self) -> bool {
        self.syncs() >= self.expected_syncs
    }
}

/// A waiting thread or task.
pub(super) struct Waiter<E> {
    inbox: Mutex<Inbox<E>>,
    told: Condvar,
}

struct Inbox<E> {
    reply: Option<Reply<E>>,
    recipient: Recipient,
}

enum Recipient {
    /// No thread or task waits yet; a leader replies to itself. Notifying without a waiter would still be a system
    /// call.
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
                // A panic in the executor's code must not keep the others from getting their replies.
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

    /// Returns the result, or has the task woken when it arrives.
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

    /// Commits the request together with others, and returns when that is done.
    pub(super) fn write(&self, request: S::Request) -> Result<(), S::Error> {
        let waiter = Arc::new(Waiter::default());
        let mut reply = if self.submit(request, &waiter, true) { Reply::Lead } else { waiter.wait() };
        loop {
            match reply {
                Reply::Done(done) => return done,
                // Commits all pending requests, its own among them, and hands over.
                Reply::Lead => {
                    while self.lead_once(false) {}
                    reply = waiter.wait();
                }
            }
        }
    }

    /// Has the request committed together with others; the waiter gets the result.
    pub(super) fn write_for_a_task(&self, request: S::Request, waiter: &Arc<Waiter<S::Error>>) {
        if self.submit(request, waiter, false) && !self.committer.tell_to_lead() {
            self.lead_as_committer();
        }
    }

    /// Starts the committer with `spawn`, unless that has been done.
    ///
    /// # Errors
    /// The error of `spawn`. Requests that others have left to the committer are committed by then.
    pub(super) fn start_committer<E>(&self, spawn: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        if !self.committer.is_to_be_started() {
            return Ok(());
        }
        spawn().inspect_err(|_| {
            if self.committer.has_not_started() {
                self.lead_as_committer();
            }
        })
    }

    /// Ends the committer, because the writer is dropped, after everything that was left to it is committed.
    pub(super) fn end_committer(&self) {
        if self.committer.end() {
            self.lead_as_committer();
        }
    }

    /// Adds a request. Returns whether its caller, or the committer in its place, leads now.
    fn submit(&self, request: S::Request, waiter: &Arc<Waiter<S::Error>>, can_lead: bool) -> bool {
        let mut pending = lock(&self.pending);
        pending.requests.push(Submitted { request, waiting: Waiting { waiter: waiter.clone(), can_lead } });
        if pending.gathers && pending.is_complete() {
            self.complete.notify_one();
        }
        !std::mem::replace(&mut pending.has_leader, true)
    }

    /// Leads until no request is pending, or a thread takes over. Panics of the storage end here: the callers have their
    /// replies by then.
    pub(super) fn lead_as_committer(&self) {
        while catch(|| self.lead_once(true)).unwrap_or(false) {}
    }

    /// Commits all pending requests as one group. Returns whether the caller keeps the lead. The committer keeps it: tasks
    /// that have just got their replies mostly submit again immediately, and then need not wake it only to have it wait
    /// for the others.
    fn lead_once(&self, for_tasks: bool) -> bool {
        let mut leading = Leading { all: self, waiters: Vec::new(), is_over: false };
        let mut group = self.gather(&mut leading, for_tasks);
        if group.is_empty() {
            // A request may have come in the meantime, and the committer may have ended.
            return leading.hand_over(false);
        }
        let started = self.clock.uptime();
        let results = self.storage.commit(&mut group);
        self.remember(&group, started);
        let again: Vec<_> =
            group.iter().zip(&results).map(|(request, done)| self.storage.tries_again(request, done)).collect();
        // Drops the others, which may panic: their callers are told so.
        let mut kept: Vec<_> = group.into_iter().zip(&again).filter_map(|(one, again)| again.then_some(one)).collect();
        let mut kept = kept.drain(..);
        let mut submitted = Vec::new();
        for ((waiting, done), again) in std::mem::take(&mut leading.waiters).into_iter().zip(results).zip(again) {
            match again.then(|| kept.next()).flatten() {
                Some(request) => submitted.push(Submitted { request, waiting }),
                None => waiting.waiter.tell(Reply::Done(done)),
            }
        }
        if !submitted.is_empty() {
            lock(&self.pending).requests.splice(..0, submitted);
        }
        leading.hand_over(for_tasks)
    }

    /// Takes all pending requests, after waiting for those that have just got their replies to submit again.
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
        let (requests, waiters) = submitted.into_iter().map(|one| (one.request, one.waiting)).unzip();
        leading.waiters = waiters;
        requests
    }

    /// Records the group before its callers get their replies and can submit again.
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

impl<S: Storage> Drop for GroupCommit<S> {
    /// Commits what the committer was told to commit when the writer was dropped first.
    fn drop(&mut self) {
        if !lock(&self.pending).requests.is_empty() {
            self.lead_as_committer();
        }
    }
}

/// One thread's time as the leader. Dropping it, even in a panic, sends every remaining member of the group an error
/// and hands over: otherwise all would wait forever.
struct Leading<'a, S: Storage> {
    all: &'a GroupCommit<S>,
    /// Those that have not got a reply.
    waiters: Vec<Waiting<S::Error>>,
    /// Whether the lead has been handed over or kept.
    is_over: bool,
}

impl<S: Storage> Leading<'_, S> {
    /// Hands the lead to a waiting thread, or to the committer if only tasks wait. Returns whether this one leads again,
    /// because it `would_keep` the lead or there is no committer.
    fn hand_over(&mut self, would_keep: bool) -> bool {
        self.is_over = true;
        let mut pending = lock(&self.all.pending);
        let next = pending.requests.iter().find(|next| next.waiting.can_lead).map(|next| next.waiting.waiter.clone());
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
                !self.all.committer.tell_to_lead()
            }
        }
    }

    /// Sends an error to all that wait, because no other thread can lead.
    fn give_up(&self) {
        let mut pending = lock(&self.all.pending);
        pending.has_leader = false;
        let requests = std::mem::take(&mut pending.requests);
        drop(pending);
        requests.iter().for_each(|submitted| submitted.waiting.waiter.tell(Reply::Done(Err(S::panicked()))));
    }
}

impl<S: Storage> Drop for Leading<'_, S> {
    fn drop(&mut self) {
        for waiting in self.waiters.drain(..) {
            waiting.waiter.tell(Reply::Done(Err(S::panicked())));
        }
        if !self.is_over && self.hand_over(false) {
            self.give_up();
        }
    }
}

/// The state of the thread that leads for tasks.
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
    /// Returns whether the caller must start the thread now.
    pub(super) fn is_to_be_started(&self) -> bool {
        !std::mem::replace(&mut lock(&self.state).runs, true)
    }

    /// Records that the thread could not be started. Returns whether the caller must lead in its place.
    fn has_not_started(&self) -> bool {
        let mut state = lock(&self.state);
        state.runs = false;
        std::mem::take(&mut state.is_to_lead)
    }

    /// Returns whether there is a thread to lead; if not, the caller must.
    fn tell_to_lead(&self) -> bool {
        let mut state = lock(&self.state);
        if !state.runs || state.is_over {
            return false;
        }
        state.is_to_lead = true;
        if state.waits {
            drop(state);
            self.told.notify_one();
        }
        true
    }

    /// Waits until the committer is to lead; false once the writer is gone.
    pub(super) fn wait(&self) -> bool {
        let mut state = lock(&self.state);
        state.waits = true;
        state = wait_while(&self.told, state, |state| !state.is_to_lead && !state.is_over);
        state.waits = false;
        std::mem::take(&mut state.is_to_lead)
    }

    /// Ends the thread. Returns whether the caller must lead in its place.
    fn end(&self) -> bool {
        let mut state = lock(&self.state);
        state.is_over = true;
        let is_to_lead = std::mem::take(&mut state.is_to_lead);
        drop(state);
        self.told.notify_one();
        is_to_lead
    }
}

// Not where `tests/models` compiles this file.
#[cfg(all(test, feature = "file"))]
mod tests;
