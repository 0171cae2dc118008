//! The one connection through which a process takes and settles the jobs of a queue.
//!
//! When a connection ends, the server hands its jobs to other waiting clients, and counts that. The connections of a
//! dying process end one after another: if two of them took jobs, the second could be handed the jobs of the first, and
//! a job would lose more than one attempt at one death. So all lanes of a process share one connection.
//!
//! While a connection waits for a job, the server does nothing else for it. So this one waits at the server only while
//! no job is in hand, and otherwise checks for jobs from time to time ([`FIRST_PAUSE`](state::FIRST_PAUSE) to
//! [`LONGEST_PAUSE`](state::LONGEST_PAUSE)).
//!
//! A call concludes that there is no job only from a request that was sent after the call arrived: so it finds every
//! message that was published before it. While the connection waits at the server, nothing can be sent on it; a call
//! whose time is over asks on another connection how many jobs are ready.
//!
//! One thread at a time leads: it sends the commands of all callers in one write, reads the answers, and passes each to
//! its caller. It leads until it has its own result, and then hands the lead to another waiting thread. A single lane
//! thus pays for no thread switch.
//!
//! # Invariants
//! - `owed` lists what each outstanding answer belongs to, in the order of the commands. Only its answer, or the end of
//!   the connection, removes an entry: a late answer is read, not discarded.
//! - A job is in `held` from the moment the server reports it until it is settled or the connection has ended.
//! - A thread that leaves passes the lead on, if there is work left.
//! - A consumer that leaves with a job has no deferred deletion, since the job may be long. Mostly the request for the
//!   job was sent with the deletion; a job of an earlier request waits until the deletion has been answered.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::calls::{Call, Progress, Waiting};
pub(super) use self::calls::{Expect, Holding, Kind, Reserved, Want};
use self::state::State;
use super::connection::{Connection, Server};
use super::fault::Fault;
use super::protocol::Answer;
use crate::clock::{Clock as _, SystemClock};
use crate::queue::Lease;
use crate::sync::lock;

mod calls;
mod state;

/// The longest wait to ask the server for, so that an interrupt is noticed soon.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The connection is given up, with all jobs that it holds, when the server has been silent for this many times its
/// timeout.
const PATIENCE: u32 = 10;

#[derive(Debug)]
pub(super) struct LeaseConnection {
    server: Server,
    clock: SystemClock,
    state: Mutex<State>,
}

type Guard<'a> = MutexGuard<'a, State>;

impl LeaseConnection {
    /// Creates the state; connects later.
    pub(super) fn new(server: Server, reserve_timeout: Duration) -> Self {
        Self { server, clock: SystemClock::new(), state: Mutex::new(State::new(reserve_timeout.min(LONGEST_WAIT))) }
    }

    fn now(&self) -> Duration {
        self.clock.uptime()
    }

    /// Returns a number for another consumer.
    pub(super) fn join(&self) -> u64 {
        lock(&self.state).join()
    }

    /// Removes a consumer, and with it its right to settle. When the last one leaves, the connection is closed.
    ///
    /// After an interrupt, the server may still wait for a job on behalf of this connection, for a second at most. A job
    /// that it hands out then would lose an attempt if the connection were closed, so it is returned first.
    pub(super) fn leave(&self, consumer: u64) {
        let mut state = lock(&self.state);
        while state.is_last(consumer) && state.may_get_a_job() {
            // Its answer comes after that of the wait.
            let (number, wakes) = state.enter_ask(vec![Expect::using()], None);
            let waited = self.await_answers(state, number, &wakes).and_then(|_| self.release_spare());
            state = lock(&self.state);
            if waited.is_err() {
                break;
            }
        }
        let closed = state.leave(consumer);
        drop(state);
        drop(closed);
    }

    /// Ends all current waits, and the next wait of each consumer.
    pub(super) fn interrupt(&self) {
        lock(&self.state).interrupt();
    }

    /// Checks for jobs before the next pause is over, because a message was published.
    pub(super) fn check_now(&self) {
        let mut state = lock(&self.state);
        if state.check_now() {
            state.pass_lead();
        }
    }

    /// Returns the next job, and waits for it as long as requested. `is_ready` asks on another connection whether these
    /// tubes have a job.
    pub(super) fn take(
        &self,
        consumer: u64,
        want: Want,
        is_ready: impl Fn(&[String]) -> Result<bool, Fault>,
    ) -> Result<Option<Reserved>, Fault> {
        let mut state = lock(&self.state);
        let now = self.now();
        if let Some(job) = state.take_spare(&want.tubes, now) {
            state.hand_to(consumer, &job.lease);
            self.delete_deferred(state, consumer);
            return Ok(Some(job));
        }
        let until = if state.was_interrupted(consumer) { now } else { now.saturating_add(want.wait) };
        let (number, wakes) = state.enter(Call::Wait(Waiting::new(consumer, want, until)));
        loop {
            let now = self.now();
            match state.waiting(number, now) {
                Progress::Done(result) => {
                    state.remove(number);
                    if matches!(result, Ok(Some(_))) {
                        self.delete_deferred(state, consumer);
                    } else {
                        state.pass_lead();
                    }
                    return result;
                }
                Progress::Lead => state = self.lead(state, number),
                Progress::Ask { tubes, asked_by } => {
                    drop(state);
                    let is_ready = is_ready(&tubes);
                    state = lock(&self.state);
                    match is_ready {
                        // The server has given a job to another caller's wait, and its answer is on the way: this call
                        // watches for it.
                        Ok(true) => {}
                        Ok(false) => state.none_ready(&tubes, asked_by, self.now()),
                        Err(fault) => {
                            state.remove(number);
                            state.pass_lead();
                            return Err(fault);
                        }
                    }
                }
                Progress::Rest(time) => state = wait(&wakes, state, Some(time)),
            }
        }
    }

    /// Deletes what this consumer has done and what was not sent with a request.
    fn delete_deferred<'a>(&'a self, mut state: Guard<'a>, consumer: u64) {
        while state.has_unsent_deletion(consumer) {
            state.send_deferred(self.now());
            let (number, wakes) = state.enter_ask(vec![Expect::using()], None);
            if self.await_answers(state, number, &wakes).is_err() {
                // The connection has ended or is silent, as the consumer will find out with its job.
                return;
            }
            state = lock(&self.state);
        }
        state.pass_lead();
    }

    /// Sends commands that belong together, and waits for their answers.
    pub(super) fn ask(&self, asks: Vec<Expect>) -> Result<Vec<Answer>, Fault> {
        let mut state = lock(&self.state);
        let (number, wakes) = state.enter_ask(asks, None);
        self.await_answers(state, number, &wakes)
    }

    /// Does the same for a job in hand. Refuses if this connection does not have the lease, or no longer. If an earlier
    /// call of this kind gave up before its answers arrived, waits for those and does not send the commands again.
    pub(super) fn ask_about(
        &self,
        lease: &Lease,
        id: u64,
        kind: Kind,
        asks: impl FnOnce(Holding) -> Vec<Expect>,
    ) -> Result<Vec<Answer>, Fault> {
        let mut state = lock(&self.state);
        let now = self.now();
        if let Some(answers) = state.take_late_answers(lease, id) {
            let (earlier, answers) = answers;
            return if earlier == kind { Ok(answers) } else { Err(Fault::NotFound) };
        }
        let (number, wakes) = match state.unanswered(lease, id) {
            Some((earlier, number, wakes)) if earlier == kind => (number, wakes),
            Some(_) => return Err(Fault::NotFound),
            None => {
                let holding = state.holding(lease, id, now).ok_or(Fault::NotFound)?;
                state.enter_ask(asks(holding), Some((lease.clone(), id, kind)))
            }
        };
        self.await_answers(state, number, &wakes)
    }

    fn await_answers<'a>(&'a self, mut state: Guard<'a>, number: u64, wakes: &Condvar) -> Result<Vec<Answer>, Fault> {
        loop {
            if let Some(result) = state.answers(number) {
                state.pass_lead();
                return result;
            }
            state = if state.led { wait(wakes, state, None) } else { self.lead(state, number) };
        }
    }

    /// Returns what a settlement of this job needs to know; `None` if it is not in hand.
    pub(super) fn holding(&self, lease: &Lease, id: u64) -> Option<Holding> {
        lock(&self.state).holding(lease, id, self.now())
    }

    /// Forgets a lost lease.
    pub(super) fn forget(&self, lease: &Lease, id: u64) {
        lock(&self.state).forget(lease, id);
    }

    /// Renews leases in one write. Returns those that are lost.
    pub(super) fn touch(&self, leases: &[(Lease, u64)]) -> Result<Vec<Lease>, Fault> {
        let mut state = lock(&self.state);
        let now = self.now();
        let (held, mut lost): (Vec<_>, Vec<_>) =
            leases.iter().partition(|(lease, id)| state.holding(lease, *id, now).is_some());
        let mut gone: Vec<Lease> = lost.drain(..).map(|(lease, _)| lease.clone()).collect();
        if held.is_empty() {
            return Ok(gone);
        }
        let (number, wakes) = state.enter_ask(held.iter().map(|(_, id)| Expect::touched(*id)).collect(), None);
        let answers = self.await_answers(state, number, &wakes)?;
        let mut state = lock(&self.state);
        for ((lease, id), answer) in held.into_iter().zip(answers) {
            if answer == Answer::Touched {
                state.renewed(lease, *id, now);
            } else {
                state.forget(lease, *id);
                gone.push(lease.clone());
            }
        }
        Ok(gone)
    }

    /// Deletes a done job together with the next write.
    pub(super) fn defer_delete(&self, lease: &Lease, id: u64) -> Result<(), Fault> {
        lock(&self.state).defer(lease, id).ok_or(Fault::NotFound)
    }

    /// Carries out the deferred deletions now, and returns spare jobs without counting their reservations.
    pub(super) fn flush(&self) -> Result<(), Fault> {
        // A job comes with two answers, one after the other.
        let mut answers = 2;
        loop {
            let mut state = lock(&self.state);
            let is_coming = answers > 0 && state.is_spare_coming();
            if !state.has_deferred() && !is_coming {
                break;
            }
            answers -= i32::from(is_coming);
            state.send_deferred(self.now());
            // Its answer comes after theirs.
            let (number, wakes) = state.enter_ask(vec![Expect::using()], None);
            let waited = self.await_answers(state, number, &wakes);
            if is_coming && waited.is_err() {
                // Those that are here already can go back. The others come when the server answers.
                return self.release_spare().and(waited.map(drop));
            }
            waited?;
        }
        self.release_spare()
    }

    /// Releases jobs that no caller waited for, so that their reservations do not count. If a lease may have ended, the
    /// kick waits for the answer to the release.
    fn release_spare(&self) -> Result<(), Fault> {
        let spare = lock(&self.state).all_spare(self.now());
        let (certain, doubtful): (Vec<_>, Vec<_>) = spare.into_iter().partition(|(_, holding)| holding.certain);
        let freed = self.release_certain(&certain);
        // None of them is held any longer, so all are tried, whatever became of the others.
        self.release_doubtful(&doubtful).and(freed)
    }

    fn release_certain(&self, certain: &[(u64, Holding)]) -> Result<(), Fault> {
        if certain.is_empty() {
            return Ok(());
        }
        self.ask(certain.iter().flat_map(|(id, holding)| Expect::uncounted(*id, holding.priority)).collect()).map(drop)
    }

    fn release_doubtful(&self, doubtful: &[(u64, Holding)]) -> Result<(), Fault> {
        if doubtful.is_empty() {
            return Ok(());
        }
        let releases = doubtful.iter().map(|(id, holding)| Expect::released(*id, holding.priority, 1)).collect();
        let released = self.ask(releases)?;
        let free = doubtful.iter().zip(released).filter(|(_, answer)| *answer == Answer::Released);
        self.ask(free.map(|((id, _), _)| Expect::kicked(*id)).collect())?;
        Ok(())
    }

    /// Returns the leases whose deferred commits had no effect.
    pub(super) fn take_lost(&self) -> Vec<Lease> {
        lock(&self.state).take_lost()
    }

    /// Sends and reads on behalf of all callers, until the call `own` has its result or there is nothing to do.
    fn lead<'a>(&'a self, mut state: Guard<'a>, own: u64) -> Guard<'a> {
        state.led = true;
        let mut line = match state.line.take() {
            Some(line) => line,
            None => {
                drop(state);
                let opened = Connection::open(&self.server, None);
                state = lock(&self.state);
                match opened {
                    Ok(line) => line,
                    Err(fault) => {
                        state.led = false;
                        state.ended(&fault);
                        return state;
                    }
                }
            }
        };
        let mut answers = VecDeque::new();
        loop {
            let now = self.now();
            state.plan(now);
            let (commands, pause) = state.commands_to_send();
            if commands.is_empty() && line.owed() == 0 {
                break;
            }
            drop(state);
            let heard = exchange(&mut line, &commands, pause, &mut answers);
            state = lock(&self.state);
            let said = answers.drain(..).try_for_each(|answer| state.arrived(answer, now));
            match said.and(heard) {
                Ok(()) => state.heard(),
                Err(silent @ Fault::Silent(_)) if line.owed() > 0 && !line.has_ended() => {
                    let patience = self.server.response_timeout.saturating_mul(PATIENCE);
                    if state.silent(&silent, now, patience) {
                        break;
                    }
                    state.led = false;
                    state.ended(&silent);
                    return state;
                }
                Err(fault) => {
                    state.led = false;
                    state.ended(&fault);
                    return state;
                }
            }
            if state.is_over(own, self.now()) {
                break;
            }
        }
        state.led = false;
        state.line = Some(line);
        state
    }
}

/// Sends, and reads one answer and any others that have arrived already.
fn exchange(
    line: &mut Connection,
    commands: &super::protocol::Commands,
    pause: Duration,
    answers: &mut VecDeque<Answer>,
) -> Result<(), Fault> {
    if !commands.is_empty() {
        line.send(commands)?;
    }
    answers.push_back(line.answer_after(pause)?);
    while let Some(answer) = line.answer_at_hand() {
        answers.push_back(answer?);
    }
    Ok(())
}

fn wait<'a>(wakes: &Condvar, state: Guard<'a>, time: Option<Duration>) -> Guard<'a> {
    match time {
        Some(time) => wakes.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0,
        None => wakes.wait(state).unwrap_or_else(PoisonError::into_inner),
    }
}
