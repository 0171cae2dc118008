//! A thread beside the lanes, for what must not wait for one of them: commits
//! that were put off, messages that were leased ahead and that nobody takes,
//! and the leases of other processes that have died.
//!
//! It goes by real time, since it looks after what is really on the disk.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::deferred;
use super::shared::Shared;
use crate::clock::{Clock as _, lock};
use crate::guard::catch;
use crate::report::chain;

/// How often it looks while something waits.
const TICK: Duration = Duration::from_millis(1);

/// How often it looks for processes that have died, if it does not hear of it.
const ROUND: Duration = Duration::from_secs(1);

/// How long it waits when the queue is in trouble.
const PAUSE: Duration = Duration::from_millis(100);

/// The lock of a process is free a moment after its end is told.
const MOMENT: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
pub(super) struct Keeper {
    /// Whether something waits for it.
    busy: AtomicBool,
    word: Mutex<Word>,
    told: Condvar,
}

#[derive(Debug, Default)]
struct Word {
    started: bool,
    busy: bool,
    died: bool,
    over: bool,
}

impl Keeper {
    /// Starts its thread, once.
    pub(super) fn run(shared: &Arc<Shared>) {
        let keeper = shared.keeper.clone();
        if std::mem::replace(&mut lock(&keeper.word).started, true) {
            return;
        }
        let weak = Arc::downgrade(shared);
        let running = keeper.clone();
        let thread = thread::Builder::new().name("pulpo-keeper".to_owned()).stack_size(256 * 1024);
        if let Err(error) = thread.spawn(move || running.look_after(&weak)) {
            lock(&keeper.word).started = false;
            tracing::warn!(%error, "no thread to settle short jobs in groups: each is settled by itself");
        }
    }

    /// Whether there is one.
    pub(super) fn runs(&self) -> bool {
        lock(&self.word).started
    }

    /// Something waits now.
    pub(super) fn start(&self) {
        if !self.busy.swap(true, Ordering::SeqCst) {
            lock(&self.word).busy = true;
            self.told.notify_one();
        }
    }

    /// A process may have died.
    pub(super) fn look_for_the_dead(&self) {
        lock(&self.word).died = true;
        self.told.notify_one();
    }

    /// The queue is closed.
    pub(super) fn end(&self) {
        lock(&self.word).over = true;
        self.told.notify_one();
    }

    fn look_after(&self, weak: &Weak<Shared>) {
        let mut next_round = Duration::ZERO;
        let mut died = false;
        loop {
            let Some(shared) = weak.upgrade() else { return };
            let uptime = shared.real.uptime();
            let is_round = uptime >= next_round || died;
            if is_round {
                next_round = uptime + ROUND;
            }
            // A clock of the user's may panic; this thread is needed all the same.
            let tended = catch(|| {
                if is_round {
                    shared.process_lock.renew();
                    shared.end_leases_of_the_dead();
                }
                self.tend(&shared)
            });
            let again = tended.unwrap_or_else(|panic| {
                tracing::error!(panic, "cannot look after the queue, trying again");
                self.busy.store(true, Ordering::SeqCst);
                Some(PAUSE)
            });
            let wait = again.unwrap_or_else(|| next_round.saturating_sub(uptime));
            drop(shared);
            let mut word = lock(&self.word);
            if !word.over && !word.busy && !word.died {
                word = self.told.wait_timeout(word, wait).unwrap_or_else(PoisonError::into_inner).0;
            }
            if word.over {
                return;
            }
            word.busy = false;
            died = std::mem::take(&mut word.died);
            drop(word);
            if died {
                thread::sleep(MOMENT);
            }
        }
    }

    /// Does what is due; when it is to look again, if more waits.
    fn tend(&self, shared: &Shared) -> Option<Duration> {
        // Who comes after this tells it anew.
        self.busy.store(false, Ordering::SeqCst);
        let mut again = TICK;
        if shared.writer.deferred_for().is_some_and(|waited| waited + TICK >= deferred::LONGEST)
            && let Err(error) = shared.flush()
        {
            tracing::debug!(error = chain(&error), "cannot settle short jobs, trying again");
            again = PAUSE;
        }
        for buffer in shared.prefetch_buffers() {
            if let Err(error) = shared.give_back(&buffer.queues, buffer.take_stale()) {
                tracing::debug!(%error, "cannot give back what was leased ahead: its leases will end");
            }
        }
        let more = shared.writer.has_deferred() || shared.prefetch_buffers().iter().any(|buffer| !buffer.is_empty());
        self.busy.fetch_or(more, Ordering::SeqCst);
        more.then_some(again)
    }
}
