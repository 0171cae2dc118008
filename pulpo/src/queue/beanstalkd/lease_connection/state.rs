//! The calls that wait on the shared connection, and the content of the next write. Pure: reads no clock and touches no
//! socket.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar};
use std::time::Duration;

use super::calls::{Asking, Call, Deferred, Entry, Expect, HeldJob, Holding, Kind, Owed, Progress, Reserved, Waiting};
use crate::queue::Lease;
use crate::queue::beanstalkd::connection::Connection;
use crate::queue::beanstalkd::fault::Fault;
use crate::queue::beanstalkd::protocol::{Answer, Commands};

mod answers;
mod plan;

/// How much longer than requested a wait may last. Of a wait of whole seconds, slightly less than a second is left for
/// the last request; without this margin, that time would be spent in pauses.
pub(super) const NEARLY: Duration = Duration::from_millis(250);

/// The pauses between two checks while a job is in hand and no other comes.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(5);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// The tube that a new connection watches by default.
const DEFAULT_TUBE: &str = "default";

/// The shortest rest of a thread.
const BRIEF: Duration = Duration::from_micros(100);

/// The maximum number of deletions in one write: their answers must fit into buffers while no thread reads them.
const MOST_DELETIONS: usize = 1024;

#[derive(Debug)]
pub(super) struct State {
    reserve_timeout: Duration,
    /// Present while no thread leads.
    pub(super) line: Option<Connection>,
    pub(super) led: bool,
    /// Not sent yet; `unsent` says what their answers belong to.
    commands: Commands,
    unsent: VecDeque<Owed>,
    owed: VecDeque<Owed>,
    /// The tubes that this connection watches once everything unsent has been sent.
    watched: Vec<String>,
    calls: BTreeMap<u64, Entry>,
    held: HashMap<u64, HeldJob>,
    /// Jobs that no call was waiting for, in order of arrival.
    spare: VecDeque<(Reserved, u64)>,
    deferred: Vec<Deferred>,
    lost: Vec<Lease>,
    /// Answers that arrived after their call had given up.
    late: HashMap<u64, (Lease, Kind, Vec<Answer>)>,
    /// Whether the last check brought a job.
    eager: bool,
    pause: Duration,
    check_at: Duration,
    silent_since: Option<Duration>,
    next_number: u64,
    consumers: HashSet<u64>,
    interrupts: u64,
    /// The last interrupt that each consumer has seen.
    seen: HashMap<u64, u64>,
}

impl State {
    pub(super) fn new(reserve_timeout: Duration) -> Self {
        Self {
            reserve_timeout,
            line: None,
            led: false,
            commands: Commands::new(),
            unsent: VecDeque::new(),
            owed: VecDeque::new(),
            watched: vec![DEFAULT_TUBE.to_owned()],
            calls: BTreeMap::new(),
            held: HashMap::new(),
            spare: VecDeque::new(),
            deferred: Vec::new(),
            lost: Vec::new(),
            late: HashMap::new(),
            eager: false,
            pause: FIRST_PAUSE,
            check_at: Duration::ZERO,
            silent_since: None,
            next_number: 0,
            consumers: HashSet::new(),
            interrupts: 0,
            seen: HashMap::new(),
        }
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    // Consumers.

    pub(super) fn join(&mut self) -> u64 {
        let number = self.number();
        self.consumers.insert(number);
        self.seen.insert(number, self.interrupts);
        number
    }

    /// Returns whether there is no other consumer.
    pub(super) fn is_last(&self, consumer: u64) -> bool {
        self.consumers.iter().all(|other| *other == consumer)
    }

    /// Returns whether the server may hand out a job, or has, that no call has received.
    pub(super) fn may_get_a_job(&self) -> bool {
        let open = |owed: &Owed| matches!(owed, Owed::Job { .. } | Owed::Stats { .. });
        self.owed.iter().chain(&self.unsent).any(open) || !self.spare.is_empty()
    }

    /// Returns whether the server hands out more jobs than calls wait for. They will be spare once their answers are read.
    pub(super) fn is_spare_coming(&self) -> bool {
        let is_job = |owed: &&Owed| matches!(owed, Owed::Job { at_server: false, .. } | Owed::Stats { .. });
        self.owed.iter().chain(&self.unsent).filter(is_job).count() > self.all_waiting().count()
    }

    /// Returns the connection, if it is to be closed.
    pub(super) fn leave(&mut self, consumer: u64) -> Option<Connection> {
        self.consumers.remove(&consumer);
        self.seen.remove(&consumer);
        self.held.retain(|_, held| held.consumer != consumer);
        if !self.consumers.is_empty() {
            return None;
        }
        let line = self.line.take();
        self.ended(&Fault::Dropped("no consumer takes jobs any more".to_owned()));
        line
    }

    pub(super) fn interrupt(&mut self) {
        self.interrupts += 1;
        let interrupts = self.interrupts;
        let at_server = self.at_server().is_some();
        for entry in self.calls.values_mut() {
            if let Call::Wait(waiting) = &mut entry.call {
                waiting.until = Duration::ZERO;
                // It need not wait for the server's answer a second later.
                waiting.checked |= at_server;
                self.seen.insert(waiting.consumer, interrupts);
                entry.wakes.notify_one();
            }
        }
    }

    pub(super) fn was_interrupted(&mut self, consumer: u64) -> bool {
        self.seen.insert(consumer, self.interrupts) != Some(self.interrupts)
    }

    // Calls.

    pub(super) fn enter(&mut self, call: Call) -> (u64, Arc<Condvar>) {
        let number = self.number();
        let wakes = Arc::new(Condvar::new());
        self.calls.insert(number, Entry { wakes: wakes.clone(), call, fault: None });
        (number, wakes)
    }

    /// Enters a call that sends these commands. If it is about a job in hand, it settles that job.
    pub(super) fn enter_ask(&mut self, asks: Vec<Expect>, about: Option<(Lease, u64, Kind)>) -> (u64, Arc<Condvar>) {
        let number = self.next_number + 1;
        if let Some((_, id, kind)) = &about
            && *kind != Kind::Stats
            && let Some(held) = self.held.get_mut(id)
        {
            held.settling = Some(number);
        }
        let missing = asks.len();
        let entered =
            self.enter(Call::Ask(Asking { answers: Vec::with_capacity(missing), missing, about, left: false }));
        for Expect { command, numbers, answer, settles } in asks {
            command(&mut self.commands, &numbers);
            self.unsent.push_back(Owed::Asked { call: number, answer, settles });
        }
        entered
    }

    pub(super) fn remove(&mut self, number: u64) {
        self.calls.remove(&number);
    }

    /// Returns what a call that waits for a job does now.
    pub(super) fn waiting(&mut self, number: u64, now: Duration) -> Progress {
        let at_server = self.at_server().is_some();
        let first = self.first_waiting() == Some(number);
        let coming = self.is_job_coming();
        let Some(Entry { call: Call::Wait(waiting), fault, .. }) = self.calls.get_mut(&number) else {
            return Progress::Done(Ok(None));
        };
        if let Some(job) = waiting.job.take() {
            return Progress::Done(Ok(Some(job)));
        }
        if let Some(fault) = fault.take() {
            return Progress::Done(Err(fault));
        }
        let (checked, until) = (waiting.checked, waiting.until);
        if (checked && !coming || waiting.want.tubes.is_empty()) && until <= now {
            return Progress::Done(Ok(None));
        }
        if at_server && !checked && !waiting.asked && until <= now {
            waiting.asked = true;
            return Progress::Ask { tubes: waiting.want.tubes.clone(), asked_by: self.next_number };
        }
        let left = until.saturating_sub(now);
        if self.led {
            // The leader reports a job, or that no job is ready.
            let soon = checked && !coming || at_server && !waiting.asked;
            return Progress::Rest(if soon { left.max(BRIEF) } else { left.max(LONGEST_PAUSE) });
        }
        if self.has_work(now) {
            return Progress::Lead;
        }
        let pause = self.check_at.saturating_sub(now);
        Progress::Rest(if first { left.min(pause) } else { left }.max(BRIEF))
    }

    /// Returns the result of a call that waits for answers, if there is one.
    pub(super) fn answers(&mut self, number: u64) -> Option<Result<Vec<Answer>, Fault>> {
        let entry = self.calls.get_mut(&number)?;
        let Call::Ask(asking) = &mut entry.call else { return None };
        if asking.missing == 0 {
            let answers = std::mem::take(&mut asking.answers);
            self.calls.remove(&number);
            return Some(Ok(answers));
        }
        let fault = entry.fault.take()?;
        // The answers may still come.
        asking.left = true;
        let is_its = |owed: &Owed| matches!(owed, Owed::Asked { call, .. } if *call == number);
        if !self.owed.iter().any(is_its) {
            self.calls.remove(&number);
        }
        Some(Err(fault))
    }

    /// Returns whether the leader has its own result.
    pub(super) fn is_over(&mut self, number: u64, now: Duration) -> bool {
        match self.calls.get(&number) {
            None => true,
            Some(Entry { fault: Some(_), .. }) => true,
            Some(Entry { call: Call::Ask(asking), .. }) => asking.missing == 0,
            Some(Entry { call: Call::Wait(waiting), .. }) => {
                waiting.job.is_some() || waiting.checked && waiting.until <= now && !self.is_job_coming()
            }
        }
    }

    /// Wakes a thread that has something to do, if no thread leads.
    pub(super) fn pass_lead(&mut self) {
        if self.led {
            return;
        }
        let asks = |entry: &Entry| match &entry.call {
            Call::Ask(asking) => asking.missing > 0 && !asking.left,
            Call::Wait(waiting) => waiting.job.is_none(),
        };
        let next = self.calls.values().find(|entry| entry.fault.is_none() && asks(entry));
        if let Some(entry) = next {
            // If it is the first of those that wait, it checks after each pause.
            entry.wakes.notify_one();
        }
    }

    /// Returns whether anything can be sent or read for the waiting calls.
    fn has_work(&self, now: Duration) -> bool {
        !self.owed.is_empty() || !self.unsent.is_empty() || self.wants_check(now)
    }

    fn wants_check(&self, now: Duration) -> bool {
        let mut waiting =
            self.all_waiting().map(|(_, waiting)| waiting).filter(|waiting| !waiting.want.tubes.is_empty()).peekable();
        waiting.peek().is_some()
            && (self.eager
                || now >= self.check_at
                || !self.is_busy() && self.seconds_at_server(now) > 0
                || waiting.any(|waiting| !waiting.checked))
    }

    /// Returns the calls that wait for a job, with their numbers.
    fn all_waiting(&self) -> impl Iterator<Item = (u64, &Waiting)> {
        self.calls.iter().filter(|(_, entry)| entry.fault.is_none()).filter_map(|(number, entry)| match &entry.call {
            Call::Wait(waiting) if waiting.job.is_none() => Some((*number, waiting)),
            _ => None,
        })
    }

    fn first_waiting(&self) -> Option<u64> {
        let waits = |entry: &Entry| matches!(&entry.call, Call::Wait(waiting) if waiting.job.is_none());
        self.calls.iter().find(|(_, entry)| waits(entry)).map(|(number, _)| *number)
    }

    /// Returns whether a job is in hand, or may be soon.
    fn is_busy(&self) -> bool {
        let pending = |owed: &Owed| !matches!(owed, Owed::Watching | Owed::Deleted(_));
        !self.held.is_empty() || self.unsent.iter().chain(&self.owed).any(pending)
    }

    /// Returns whether the server has handed out a job that no call has received yet. Until it is received, no waiting
    /// call leaves.
    fn is_job_coming(&self) -> bool {
        self.unsent.iter().chain(&self.owed).any(|owed| matches!(owed, Owed::Stats { .. }))
    }

    /// Returns the tubes for which the server waits.
    fn at_server(&self) -> Option<&Arc<[String]>> {
        self.owed.iter().chain(&self.unsent).find_map(|owed| match owed {
            Owed::Job { tubes, at_server: true, .. } => Some(tubes),
            _ => None,
        })
    }

    /// Returns how long the server may wait on behalf of the waiting calls.
    fn seconds_at_server(&self, now: Duration) -> u64 {
        let brief = |waiting: &Waiting| !waiting.checked && waiting.until <= now;
        if self.all_waiting().any(|(_, waiting)| brief(waiting)) {
            return 0;
        }
        let longest =
            self.all_waiting().map(|(_, waiting)| waiting.until.saturating_sub(now)).max().unwrap_or_default();
        longest.saturating_add(NEARLY).min(self.reserve_timeout).as_secs()
    }

    pub(super) fn check_now(&mut self) -> bool {
        self.check_at = Duration::ZERO;
        self.pause = FIRST_PAUSE;
        self.all_waiting().next().is_some()
    }

    // Commands.

    pub(super) fn holding(&self, lease: &Lease, id: u64, now: Duration) -> Option<Holding> {
        self.held.get(&id).filter(|held| held.token == lease.token).map(|held| held.holding(now))
    }

    pub(super) fn hand_to(&mut self, consumer: u64, lease: &Lease) {
        if let Some(held) = self.held.values_mut().find(|held| held.token == lease.token) {
            held.consumer = consumer;
        }
    }

    pub(super) fn renewed(&mut self, lease: &Lease, id: u64, since: Duration) {
        if let Some(held) = self.held.get_mut(&id).filter(|held| held.token == lease.token) {
            held.since = since;
        }
    }

    pub(super) fn forget(&mut self, lease: &Lease, id: u64) {
        if self.held.get(&id).is_some_and(|held| held.token == lease.token) {
            self.held.remove(&id);
        }
    }

    pub(super) fn defer(&mut self, lease: &Lease, id: u64) -> Option<()> {
        self.held.get(&id).filter(|held| held.token == lease.token && held.settling.is_none())?;
        let held = self.held.remove(&id)?;
        self.deferred.push(Deferred { lease: lease.clone(), id, held });
        Some(())
    }

    /// Takes a job that no call was waiting for. After half its ttr, another worker may have it by now.
    pub(super) fn take_spare(&mut self, tubes: &[String], now: Duration) -> Option<Reserved> {
        let held = &self.held;
        let good = |(reserved, id): &(Reserved, u64)| {
            tubes.contains(&reserved.job.tube)
                && held.get(id).is_some_and(|held| held.token == reserved.lease.token && held.holding(now).certain)
        };
        let at = self.spare.iter().position(good)?;
        self.spare.remove(at).map(|(reserved, _)| reserved)
    }

    /// Takes all of those, with their ids; they are no longer in hand.
    pub(super) fn all_spare(&mut self, now: Duration) -> Vec<(u64, Holding)> {
        let spare = std::mem::take(&mut self.spare);
        spare.into_iter().filter_map(|(_, id)| Some((id, self.held.remove(&id)?.holding(now)))).collect()
    }

    /// Returns the call that is settling this job and has not received its answers.
    pub(super) fn unanswered(&mut self, lease: &Lease, id: u64) -> Option<(Kind, u64, Arc<Condvar>)> {
        let number = self.held.get(&id).filter(|held| held.token == lease.token)?.settling?;
        let entry = self.calls.get_mut(&number)?;
        let Call::Ask(asking) = &mut entry.call else { return None };
        (asking.left, entry.fault) = (false, None);
        Some((asking.about.as_ref()?.2, number, entry.wakes.clone()))
    }

    pub(super) fn take_late_answers(&mut self, lease: &Lease, id: u64) -> Option<(Kind, Vec<Answer>)> {
        self.late.get(&id).filter(|(of, ..)| of == lease)?;
        self.late.remove(&id).map(|(_, kind, answers)| (kind, answers))
    }

    pub(super) fn take_lost(&mut self) -> Vec<Lease> {
        std::mem::take(&mut self.lost)
    }

    // Trouble.

    pub(super) fn heard(&mut self) {
        self.silent_since = None;
    }

    /// Reports to all waiting calls that an answer is late. Returns whether to keep the connection, with the answers
    /// that it owes.
    pub(super) fn silent(&mut self, fault: &Fault, now: Duration, patience: Duration) -> bool {
        let since = *self.silent_since.get_or_insert(now);
        if now.saturating_sub(since) >= patience {
            return false;
        }
        self.tell(fault);
        true
    }

    fn tell(&mut self, fault: &Fault) {
        for entry in self.calls.values_mut() {
            let open = match &entry.call {
                Call::Ask(asking) => asking.missing > 0 && !asking.left,
                Call::Wait(waiting) => waiting.job.is_none(),
            };
            if open {
                entry.fault = Some(fault.clone());
                entry.wakes.notify_one();
            }
        }
    }

    /// Resets the state, because the connection has ended: the server has made the jobs in hand ready again.
    pub(super) fn ended(&mut self, fault: &Fault) {
        let owed = std::mem::take(&mut self.owed);
        for owed in owed.into_iter().chain(std::mem::take(&mut self.unsent)) {
            if let Owed::Deleted(lease) | Owed::Doubtful { lease, .. } = owed {
                self.lost.push(lease);
            }
        }
        self.lost.extend(self.deferred.drain(..).map(|deferred| deferred.lease));
        self.commands = Commands::new();
        self.watched = vec![DEFAULT_TUBE.to_owned()];
        self.held.clear();
        self.spare.clear();
        self.late.clear();
        (self.eager, self.pause, self.check_at, self.silent_since) = (false, FIRST_PAUSE, Duration::ZERO, None);
        self.calls.retain(|_, entry| !matches!(&entry.call, Call::Ask(asking) if asking.left));
        for entry in self.calls.values_mut() {
            if let Call::Wait(waiting) = &mut entry.call {
                waiting.job = None;
                (waiting.checked, waiting.asked) = (false, false);
            }
        }
        self.tell(fault);
    }
}

#[cfg(test)]
mod tests;
