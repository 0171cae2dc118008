//! The one connection through which a process takes and settles jobs.
//!
//! The server hands the jobs of a connection that ends to whoever waits, and
//! counts that. When a process dies its connections end one after the other:
//! if two of them took jobs, the second could be handed what the first had,
//! and a job would lose more than one attempt at one death. So all lanes of a
//! process share one connection.
//!
//! The server does nothing else for a connection that waits for a job. So this
//! one waits at the server only while nothing is in hand, and else looks now
//! and then ([`FIRST_PAUSE`](state::FIRST_PAUSE) to
//! [`LONGEST_PAUSE`](state::LONGEST_PAUSE)).
//!
//! That there is no job is believed only to a question that was asked after the
//! call came: what was published before the call is then found. While the
//! connection waits at the server nothing can be asked on it; a call whose time
//! is over asks on another one how many jobs are ready.
//!
//! One thread at a time leads: it sends what all have asked for in one write,
//! reads the answers, and tells each its own. It leads until it has what it
//! came for, and then hands the lead to another that still waits. One lane
//! alone so pays for no change of threads.
//!
//! # Invariants
//!
//! - `owed` names what each answer that is still to come belongs to, in the
//!   order of the commands. Nothing takes an entry out but its answer, or the
//!   end of the connection: an answer that comes late is read, not thrown away.
//! - A job is in `held` from the moment that the server has told of it until it
//!   is settled, or the connection has ended.
//! - Whoever leaves passes the lead on, if there is something to do.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::calls::{Call, Progress, Waiting};
pub(super) use self::calls::{Expect, Holding, Kind, Reserved, Want};
use self::state::State;
use super::connection::{Connection, Server};
use super::fault::Fault;
use super::protocol::Answer;
use crate::clock::{Clock as _, SystemClock, lock};
use crate::queue::Lease;

mod calls;
mod state;

/// How long the server is asked to wait at most, so that an interrupt is
/// noticed soon.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A connection whose server has been silent for this many times what it may
/// is given up, with all that it holds.
const PATIENCE: u32 = 10;

#[derive(Debug)]
pub(super) struct LeaseConnection {
    server: Server,
    clock: SystemClock,
    state: Mutex<State>,
}

type Guard<'a> = MutexGuard<'a, State>;

impl LeaseConnection {
    /// Opens nothing.
    pub(super) fn new(server: Server, reserve_timeout: Duration) -> Self {
        Self { server, clock: SystemClock::new(), state: Mutex::new(State::new(reserve_timeout.min(LONGEST_WAIT))) }
    }

    fn now(&self) -> Duration {
        self.clock.uptime()
    }

    /// A number for another consumer.
    pub(super) fn join(&self) -> u64 {
        lock(&self.state).join()
    }

    /// The consumer is gone, and with it its right to settle. The last one
    /// takes the connection along.
    pub(super) fn leave(&self, consumer: u64) {
        let closed = lock(&self.state).leave(consumer);
        drop(closed);
    }

    /// Ends all waits, and the next one of each consumer.
    pub(super) fn interrupt(&self) {
        lock(&self.state).interrupt();
    }

    /// A message was published: look before the next pause is over.
    pub(super) fn look(&self) {
        let mut state = lock(&self.state);
        if state.look_now() {
            state.pass_lead();
        }
    }

    /// The next job, waiting for it for as long as is wanted. `is_ready` asks on
    /// another connection whether there is one in these tubes.
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
            return Ok(Some(job));
        }
        let until = if state.was_interrupted(consumer) { now } else { now.saturating_add(want.wait) };
        let (number, wakes) = state.enter(Call::Wait(Waiting::new(consumer, want, until)));
        loop {
            let now = self.now();
            match state.waiting(number, now) {
                Progress::Done(result) => {
                    state.remove(number);
                    state.pass_lead();
                    return result;
                }
                Progress::Lead => state = self.lead(state, number),
                Progress::Ask { tubes, asked_by } => {
                    drop(state);
                    let is_ready = is_ready(&tubes);
                    state = lock(&self.state);
                    match is_ready {
                        // The server has given one to the wait of another, and
                        // the answer is on its way: this call looks after it.
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

    /// Sends commands that belong together, and waits for their answers.
    pub(super) fn ask(&self, asks: Vec<Expect>) -> Result<Vec<Answer>, Fault> {
        let mut state = lock(&self.state);
        let (number, wakes) = state.enter_ask(asks, None);
        self.await_answers(state, number, &wakes)
    }

    /// The same, about a job in hand: refuses if the lease is not the one that
    /// this connection has, or no more. After an answer that did not come in
    /// time the next call of this kind waits for that answer, and does not send
    /// the commands again.
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

    /// What settling this job would need to know; `None` if it is not in hand.
    pub(super) fn holding(&self, lease: &Lease, id: u64) -> Option<Holding> {
        lock(&self.state).holding(lease, id, self.now())
    }

    /// The lease is lost.
    pub(super) fn forget(&self, lease: &Lease, id: u64) {
        lock(&self.state).forget(lease, id);
    }

    /// Renews leases in one write; those that are lost.
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

    /// The job is done: it is deleted together with what is sent next.
    pub(super) fn defer_delete(&self, lease: &Lease, id: u64) -> Result<(), Fault> {
        lock(&self.state).defer(lease, id).ok_or(Fault::NotFound)
    }

    /// Has what was deferred be done now, and returns spare jobs uncounted.
    pub(super) fn flush(&self) -> Result<(), Fault> {
        loop {
            let mut state = lock(&self.state);
            if !state.has_deferred() {
                break;
            }
            state.send_deferred(self.now());
            // Its answer comes after theirs.
            let (number, wakes) = state.enter_ask(vec![Expect::using()], None);
            self.await_answers(state, number, &wakes)?;
        }
        self.release_spare()
    }

    /// Only a kick leaves a mark in the server's counters by which a
    /// reservation does not count, and only a buried or delayed job can be
    /// kicked.
    fn release_spare(&self) -> Result<(), Fault> {
        let spare = lock(&self.state).all_spare();
        if spare.is_empty() {
            return Ok(());
        }
        let releases = spare.iter().map(|(id, priority)| Expect::released(*id, *priority, 1)).collect();
        let released = self.ask(releases)?;
        let free = spare.iter().zip(released).filter(|(_, answer)| *answer == Answer::Released);
        self.ask(free.map(|((id, _), _)| Expect::kicked(*id)).collect())?;
        Ok(())
    }

    /// Leases whose deferred commit did nothing.
    pub(super) fn take_lost(&self) -> Vec<Lease> {
        lock(&self.state).take_lost()
    }

    /// Sends and reads for all, until `own` has what it came for or there is
    /// nothing to do.
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

/// Sends, and reads one answer and those that are here already.
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
