//! Who waits for what on the shared connection, and what the next write says.
//! Pure: it neither reads a clock nor touches a socket.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar};
use std::time::Duration;

use super::{FIRST_PAUSE, Holding, LONGEST_PAUSE, NEARLY, Progress, Reserved, Want};
use crate::queue::beanstalkd::connection::Connection;
use crate::queue::beanstalkd::fault::Fault;
use crate::queue::beanstalkd::job::JobStats;
use crate::queue::beanstalkd::protocol::{Answer, Commands};
use crate::queue::{Lease, MessageState};

/// The tube that a new connection watches unasked.
const DEFAULT_TUBE: &str = "default";

/// No thread rests for less.
const BRIEF: Duration = Duration::from_micros(100);

/// How many deletions go out in one write at most: their answers have to find
/// room while nobody reads them.
const MOST_DELETIONS: usize = 1024;

/// A command, and which answer fits it. What the server may say in its place
/// fits too.
#[derive(Debug)]
pub(in crate::queue::beanstalkd) struct Expect {
    command: fn(&mut Commands, &Numbers),
    numbers: Numbers,
    answer: fn(&Answer) -> bool,
    /// Whether the job is no longer in hand after it.
    settles: bool,
}

#[derive(Debug, Default)]
struct Numbers {
    id: u64,
    priority: u32,
    delay: u32,
    text: String,
}

impl Expect {
    fn new(command: fn(&mut Commands, &Numbers), id: u64, answer: fn(&Answer) -> bool) -> Self {
        Self { command, numbers: Numbers { id, ..Numbers::default() }, answer, settles: false }
    }

    fn settling(self) -> Self {
        Self { settles: true, ..self }
    }

    pub(in crate::queue::beanstalkd) fn using() -> Self {
        Self::new(|commands, _| _ = commands.list_tube_used(), 0, |answer| matches!(answer, Answer::Using))
    }

    pub(in crate::queue::beanstalkd) fn use_tube(tube: &str) -> Self {
        let mut new = Self::new(|commands, n| _ = commands.use_tube(&n.text), 0, |a| matches!(a, Answer::Using));
        tube.clone_into(&mut new.numbers.text);
        new
    }

    pub(in crate::queue::beanstalkd) fn put(text: String, priority: u32, delay: u32) -> Self {
        let put = |commands: &mut Commands, n: &Numbers| _ = commands.put(&n.text, n.priority, n.delay, 1);
        let mut new = Self::new(put, 0, |answer| matches!(answer, Answer::Inserted(_)));
        new.numbers = Numbers { id: 0, priority, delay, text };
        new
    }

    pub(in crate::queue::beanstalkd) fn deleted(id: u64) -> Self {
        Self::new(|commands, n| _ = commands.delete(n.id), id, |answer| matches!(answer, Answer::Deleted)).settling()
    }

    pub(in crate::queue::beanstalkd) fn released(id: u64, priority: u32, delay: u32) -> Self {
        let release = |commands: &mut Commands, n: &Numbers| _ = commands.release(n.id, n.priority, n.delay);
        let mut new = Self::new(release, id, |answer| matches!(answer, Answer::Released));
        (new.numbers.priority, new.numbers.delay) = (priority, delay);
        new.settling()
    }

    pub(in crate::queue::beanstalkd) fn buried(id: u64, priority: u32) -> Self {
        let bury = |commands: &mut Commands, n: &Numbers| _ = commands.bury(n.id, n.priority);
        let mut new = Self::new(bury, id, |answer| matches!(answer, Answer::Buried(None)));
        new.numbers.priority = priority;
        new.settling()
    }

    pub(in crate::queue::beanstalkd) fn touched(id: u64) -> Self {
        Self::new(|commands, n| _ = commands.touch(n.id), id, |answer| matches!(answer, Answer::Touched))
    }

    pub(in crate::queue::beanstalkd) fn kicked(id: u64) -> Self {
        Self::new(|commands, n| _ = commands.kick_job(n.id), id, |answer| matches!(answer, Answer::Kicked(None)))
    }

    pub(in crate::queue::beanstalkd) fn stats(id: u64) -> Self {
        Self::new(|commands, n| _ = commands.stats_job(n.id), id, |answer| matches!(answer, Answer::Told(_)))
    }
}

/// What is done about a job in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::queue::beanstalkd) enum Kind {
    Delete,
    Release,
    Bury,
    Look,
}

/// What an answer belongs to.
#[derive(Debug)]
enum Owed {
    /// A `watch` or an `ignore`.
    Watching,
    /// A job, of one of these tubes.
    Job {
        tubes: Arc<[String]>,
        at_server: bool,
        /// The newest call when it was asked for: for later ones the answer
        /// says nothing.
        asked_by: u64,
    },
    /// What the server knows of a job that was just reserved.
    Stats { id: u64, text: Vec<u8>, since: Duration },
    /// The deletion of a job that is done.
    Deleted(Lease),
    /// Whether a job that is done is still ours to delete.
    Doubtful { lease: Lease, id: u64, reserves: u32 },
    /// Of a call. The number is that of the call.
    Asked { call: u64, answer: fn(&Answer) -> bool, settles: bool },
}

/// A call that waits for a job.
#[derive(Debug)]
pub(super) struct Waiting {
    consumer: u64,
    want: Want,
    until: Duration,
    /// Whether the server has said, to a question that was asked after the
    /// call came, that there is none.
    looked: bool,
    /// Whether it has asked on another connection, while this one waited at
    /// the server, and heard that there is one.
    asked: bool,
    job: Option<Reserved>,
}

impl Waiting {
    pub(super) fn new(consumer: u64, want: Want, until: Duration) -> Self {
        Self { consumer, want, until, looked: false, asked: false, job: None }
    }
}

/// A call that waits for answers.
#[derive(Debug)]
pub(super) struct Asking {
    answers: Vec<Answer>,
    missing: usize,
    about: Option<(Lease, u64, Kind)>,
    /// It did not wait for the answers to their end.
    left: bool,
}

#[derive(Debug)]
pub(super) enum Call {
    Wait(Waiting),
    Ask(Asking),
}

#[derive(Debug)]
struct Entry {
    wakes: Arc<Condvar>,
    call: Call,
    fault: Option<Fault>,
}

/// A job that this connection has reserved.
#[derive(Debug)]
struct Held {
    token: Arc<str>,
    consumer: u64,
    priority: u32,
    /// The server's count, which no other delivery of the job has.
    reserves: u32,
    ttr: Duration,
    /// The lease lasts at least for its ttr from then.
    since: Duration,
    /// The call that is settling it.
    settling: Option<u64>,
}

impl Held {
    fn holding(&self, now: Duration) -> Holding {
        let certain = now.saturating_sub(self.since) < self.ttr / 2;
        Holding { priority: self.priority, reserves: self.reserves, certain }
    }
}

/// A job that is done and not deleted yet.
#[derive(Debug)]
struct Deferred {
    lease: Lease,
    id: u64,
    held: Held,
}

#[derive(Debug)]
pub(super) struct State {
    reserve_timeout: Duration,
    /// Here while nobody leads.
    pub(super) line: Option<Connection>,
    pub(super) led: bool,
    /// Not sent yet, and what they ask.
    commands: Commands,
    unsent: VecDeque<Owed>,
    owed: VecDeque<Owed>,
    /// By this connection, after all that is unsent.
    watched: Vec<String>,
    calls: BTreeMap<u64, Entry>,
    held: HashMap<u64, Held>,
    /// Jobs for which nobody waited, in the order in which they came.
    spare: VecDeque<(Reserved, u64)>,
    deferred: Vec<Deferred>,
    lost: Vec<Lease>,
    /// Answers that came after the call had given up waiting.
    late: HashMap<u64, (Lease, Kind, Vec<Answer>)>,
    /// The last look brought a job.
    eager: bool,
    pause: Duration,
    look_at: Duration,
    silent_since: Option<Duration>,
    next_number: u64,
    consumers: HashSet<u64>,
    interrupts: u64,
    /// Which interrupt a consumer has seen last.
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
            look_at: Duration::ZERO,
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

    /// What is to be closed.
    pub(super) fn leave(&mut self, consumer: u64) -> Option<Connection> {
        self.consumers.remove(&consumer);
        self.seen.remove(&consumer);
        self.held.retain(|_, held| held.consumer != consumer);
        if !self.consumers.is_empty() {
            return None;
        }
        let line = self.line.take();
        self.ended(&Fault::Dropped("nobody takes jobs any more".to_owned()));
        line
    }

    pub(super) fn interrupt(&mut self) {
        self.interrupts += 1;
        let interrupts = self.interrupts;
        let at_server = self.at_server().is_some();
        for entry in self.calls.values_mut() {
            if let Call::Wait(waiting) = &mut entry.call {
                waiting.until = Duration::ZERO;
                // It does not wait for what the server says a second later.
                waiting.looked |= at_server;
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

    /// A call that sends these commands. One about a job in hand settles it.
    pub(super) fn enter_ask(&mut self, asks: Vec<Expect>, about: Option<(Lease, u64, Kind)>) -> (u64, Arc<Condvar>) {
        let number = self.next_number + 1;
        if let Some((_, id, kind)) = &about
            && *kind != Kind::Look
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

    /// What a call that waits for a job does now.
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
        let (looked, until) = (waiting.looked, waiting.until);
        if (looked && !coming || waiting.want.tubes.is_empty()) && until <= now {
            return Progress::Done(Ok(None));
        }
        if at_server && !looked && !waiting.asked && until <= now {
            waiting.asked = true;
            return Progress::Ask { tubes: waiting.want.tubes.clone(), asked_by: self.next_number };
        }
        let left = until.saturating_sub(now);
        if self.led {
            // Who leads tells of what there is, or that there is nothing.
            let soon = looked && !coming || at_server && !waiting.asked;
            return Progress::Rest(if soon { left.max(BRIEF) } else { left.max(LONGEST_PAUSE) });
        }
        if self.has_work(now) {
            return Progress::Lead;
        }
        let pause = self.look_at.saturating_sub(now);
        Progress::Rest(if first { left.min(pause) } else { left }.max(BRIEF))
    }

    /// What has come of a call that waits for answers.
    pub(super) fn answers(&mut self, number: u64) -> Option<Result<Vec<Answer>, Fault>> {
        let entry = self.calls.get_mut(&number)?;
        let Call::Ask(asking) = &mut entry.call else { return None };
        if asking.missing == 0 {
            let answers = std::mem::take(&mut asking.answers);
            self.calls.remove(&number);
            return Some(Ok(answers));
        }
        let fault = entry.fault.take()?;
        // The answers may come yet.
        asking.left = true;
        let is_its = |owed: &Owed| matches!(owed, Owed::Asked { call, .. } if *call == number);
        if !self.owed.iter().any(is_its) {
            self.calls.remove(&number);
        }
        Some(Err(fault))
    }

    /// Whether the leader has what it came for.
    pub(super) fn is_over(&mut self, number: u64, now: Duration) -> bool {
        match self.calls.get(&number) {
            None => true,
            Some(Entry { fault: Some(_), .. }) => true,
            Some(Entry { call: Call::Ask(asking), .. }) => asking.missing == 0,
            Some(Entry { call: Call::Wait(waiting), .. }) => {
                waiting.job.is_some() || waiting.looked && waiting.until <= now && !self.is_job_coming()
            }
        }
    }

    /// Wakes one that has something to do, if nobody leads.
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
            // Or the first of those that wait, which looks after each pause.
            entry.wakes.notify_one();
        }
    }

    /// Whether anything can be sent or read for those that wait.
    fn has_work(&self, now: Duration) -> bool {
        !self.owed.is_empty() || !self.unsent.is_empty() || self.wants_look(now)
    }

    fn wants_look(&self, now: Duration) -> bool {
        let mut waiting =
            self.all_waiting().map(|(_, waiting)| waiting).filter(|waiting| !waiting.want.tubes.is_empty()).peekable();
        waiting.peek().is_some()
            && (self.eager
                || now >= self.look_at
                || !self.is_busy() && self.seconds_at_server(now) > 0
                || waiting.any(|waiting| !waiting.looked))
    }

    /// The calls that wait for a job, by their numbers.
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

    /// Whether a job is in hand, or may come to be.
    fn is_busy(&self) -> bool {
        let pending = |owed: &Owed| !matches!(owed, Owed::Watching | Owed::Deleted(_));
        !self.held.is_empty() || self.unsent.iter().chain(&self.owed).any(pending)
    }

    /// Whether the server has handed out a job of which nobody has heard yet:
    /// who waits does not leave before.
    fn is_job_coming(&self) -> bool {
        self.unsent.iter().chain(&self.owed).any(|owed| matches!(owed, Owed::Stats { .. }))
    }

    /// The tubes for which the server waits.
    fn at_server(&self) -> Option<&Arc<[String]>> {
        self.owed.iter().chain(&self.unsent).find_map(|owed| match owed {
            Owed::Job { tubes, at_server: true, .. } => Some(tubes),
            _ => None,
        })
    }

    /// For how long the server may wait for those that wait.
    fn seconds_at_server(&self, now: Duration) -> u64 {
        let brief = |waiting: &Waiting| !waiting.looked && waiting.until <= now;
        if self.all_waiting().any(|(_, waiting)| brief(waiting)) {
            return 0;
        }
        let longest =
            self.all_waiting().map(|(_, waiting)| waiting.until.saturating_sub(now)).max().unwrap_or_default();
        longest.saturating_add(NEARLY).min(self.reserve_timeout).as_secs()
    }

    pub(super) fn look_now(&mut self) -> bool {
        self.look_at = Duration::ZERO;
        self.pause = FIRST_PAUSE;
        self.all_waiting().next().is_some()
    }

    // What is sent.

    /// Adds what those that wait need to what is sent next.
    pub(super) fn plan(&mut self, now: Duration) {
        if self.at_server().is_some() {
            return;
        }
        self.send_deferred(now);
        let asked_by = self.next_number;
        // The tubes, how many jobs are wanted, and by which call that has not
        // heard yet that there is none.
        let mut groups: Vec<(Arc<[String]>, usize, Option<u64>)> = Vec::new();
        for (number, waiting) in self.all_waiting().filter(|(_, waiting)| !waiting.want.tubes.is_empty()) {
            let (count, fresh) = (1 + waiting.want.more, (!waiting.looked).then_some(number));
            match groups.iter_mut().find(|(tubes, ..)| *tubes == waiting.want.tubes) {
                Some(group) => {
                    group.1 += count;
                    group.2 = group.2.max(fresh);
                }
                None => groups.push((waiting.want.tubes.clone(), count, fresh)),
            }
        }
        if groups.is_empty() {
            return;
        }
        let seconds = self.seconds_at_server(now);
        if !self.is_busy() && seconds > 0 {
            let mut all: Vec<String> = groups.iter().flat_map(|(tubes, ..)| tubes.iter().cloned()).collect();
            all.sort_unstable();
            all.dedup();
            let tubes: Arc<[String]> = if let [(only, ..)] = &*groups { only.clone() } else { all.into() };
            self.watch(&tubes);
            self.commands.reserve(seconds);
            self.unsent.push_back(Owed::Job { tubes, at_server: true, asked_by });
            return;
        }
        let due = now >= self.look_at;
        for (tubes, count, fresh) in groups {
            let of_group = |owed: &&Owed| match owed {
                Owed::Job { tubes: its, .. } => *its == tubes,
                // It may go to one of them.
                Owed::Stats { .. } => true,
                _ => false,
            };
            let asked = self.owed.iter().chain(&self.unsent).filter(of_group).count();
            // What was asked before the last call came says nothing to it.
            let answers_last = |owed: &Owed| match owed {
                Owed::Job { asked_by, .. } => Some(*asked_by) >= fresh,
                _ => true,
            };
            let is_covered = self.owed.iter().chain(&self.unsent).filter(of_group).any(answers_last);
            let needed = usize::from(fresh.is_some() && !is_covered || due && asked == 0);
            let many = self.eager || fresh.is_some() && count > 1;
            let more = if many { count.saturating_sub(asked).max(needed) } else { needed };
            if more == 0 {
                continue;
            }
            self.watch(&tubes);
            for _ in 0..more {
                self.commands.reserve(0);
                self.unsent.push_back(Owed::Job { tubes: tubes.clone(), at_server: false, asked_by });
            }
        }
    }

    /// Watches these tubes and no other. First the new ones: the server never
    /// lets the last one go.
    fn watch(&mut self, wanted: &[String]) {
        if wanted == self.watched {
            return;
        }
        for tube in wanted.iter().filter(|tube| !self.watched.contains(tube)) {
            self.commands.watch(tube);
            self.unsent.push_back(Owed::Watching);
        }
        for tube in self.watched.iter().filter(|tube| !wanted.contains(tube)) {
            self.commands.ignore(tube);
            self.unsent.push_back(Owed::Watching);
        }
        self.watched = wanted.to_vec();
    }

    /// What was deferred goes into the next write. Where a lease may have ended
    /// the server is asked first: it lets anyone delete a job that nobody has
    /// reserved.
    pub(super) fn send_deferred(&mut self, now: Duration) {
        let most = self.deferred.len().min(MOST_DELETIONS);
        for Deferred { lease, id, held } in self.deferred.drain(..most) {
            if held.holding(now).certain {
                self.commands.delete(id);
                self.unsent.push_back(Owed::Deleted(lease));
            } else {
                self.commands.stats_job(id);
                self.unsent.push_back(Owed::Doubtful { lease, id, reserves: held.reserves });
            }
        }
    }

    pub(super) fn has_deferred(&self) -> bool {
        let open = |owed: &Owed| matches!(owed, Owed::Deleted(_) | Owed::Doubtful { .. });
        !self.deferred.is_empty() || self.unsent.iter().chain(&self.owed).any(open)
    }

    /// What is to be sent, and for how long the server then waits.
    pub(super) fn commands_to_send(&mut self) -> (Commands, Duration) {
        self.owed.append(&mut self.unsent);
        let pause = if self.at_server().is_some() { self.reserve_timeout } else { Duration::ZERO };
        (std::mem::take(&mut self.commands), pause)
    }

    // What comes.

    /// An answer. An error is the end of the connection.
    pub(super) fn arrived(&mut self, answer: Answer, now: Duration) -> Result<(), Fault> {
        match self.owed.pop_front() {
            None => Err(Fault::Foreign(format!("{answer:?}"))),
            Some(Owed::Watching) => answer.expect(&Answer::Watching),
            Some(Owed::Job { tubes, asked_by, .. }) => match answer.reserved() {
                Ok((id, text)) => {
                    (self.eager, self.pause) = (true, FIRST_PAUSE);
                    self.commands.stats_job(id);
                    self.unsent.push_back(Owed::Stats { id, text, since: now });
                    Ok(())
                }
                Err(fault) if fault.ends_connection() => Err(fault),
                Err(_) => {
                    self.missed(&tubes, asked_by, now);
                    Ok(())
                }
            },
            Some(Owed::Stats { id, text, since }) => {
                // Not found: its ttr has passed, and somebody was fast.
                if let Some(told) = answer.told()? {
                    let garbled = || Fault::Dropped("the answer to stats-job is garbled".to_owned());
                    let job = JobStats::read(&told).ok_or_else(garbled)?;
                    if job.state == MessageState::Reserved {
                        self.deliver(id, job, text, since);
                    }
                }
                if !self.is_job_coming() {
                    self.wake_expired(now);
                }
                Ok(())
            }
            Some(Owed::Deleted(lease)) => {
                if !answer.done(&Answer::Deleted)? {
                    self.lost.push(lease);
                }
                Ok(())
            }
            Some(Owed::Doubtful { lease, id, reserves }) => {
                let job = answer.told()?.as_deref().and_then(JobStats::read);
                if job.is_some_and(|job| job.state == MessageState::Reserved && job.reserves == reserves) {
                    self.commands.delete(id);
                    self.unsent.push_back(Owed::Deleted(lease));
                } else {
                    self.lost.push(lease);
                }
                Ok(())
            }
            Some(Owed::Asked { call, answer: fits, settles }) => self.answered(call, answer, fits, settles),
        }
    }

    fn answered(&mut self, call: u64, answer: Answer, fits: fn(&Answer) -> bool, settles: bool) -> Result<(), Fault> {
        if !fits(&answer) {
            let fault = answer.clone().refusal();
            if fault.ends_connection() {
                return Err(fault);
            }
        }
        let Some(Entry { call: Call::Ask(asking), wakes, .. }) = self.calls.get_mut(&call) else { return Ok(()) };
        asking.missing -= 1;
        if settles && let Some((_, id, _)) = &asking.about {
            let gone = fits(&answer) || matches!(answer, Answer::NotFound | Answer::Buried(_));
            match self.held.get_mut(id) {
                Some(_) if gone => drop(self.held.remove(id)),
                Some(held) => held.settling = None,
                None => {}
            }
        }
        asking.answers.push(answer);
        if asking.missing > 0 {
            return Ok(());
        }
        if !asking.left {
            wakes.notify_one();
            return Ok(());
        }
        // Who asked may come again.
        let answers = std::mem::take(&mut asking.answers);
        if let Some((lease, id, kind)) = asking.about.take().filter(|(.., kind)| *kind != Kind::Look) {
            self.late.insert(id, (lease, kind, answers));
        }
        self.calls.remove(&call);
        Ok(())
    }

    /// There is no job in these tubes.
    fn missed(&mut self, tubes: &[String], asked_by: u64, now: Duration) {
        self.eager = false;
        if now >= self.look_at {
            self.look_at = now.saturating_add(self.pause);
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        self.none_ready(tubes, asked_by, now);
    }

    /// There was none in these tubes after this call came.
    pub(super) fn none_ready(&mut self, tubes: &[String], asked_by: u64, now: Duration) {
        for (_, entry) in self.calls.range_mut(..=asked_by) {
            if let Call::Wait(waiting) = &mut entry.call
                && waiting.want.tubes.iter().all(|tube| tubes.contains(tube))
            {
                waiting.looked = true;
                if waiting.until <= now {
                    entry.wakes.notify_one();
                }
            }
        }
    }

    /// Those whose wait is over and who have stayed for a job that was coming.
    fn wake_expired(&self, now: Duration) {
        for entry in self.calls.values() {
            if matches!(&entry.call, Call::Wait(waiting) if waiting.job.is_none() && waiting.until <= now) {
                entry.wakes.notify_one();
            }
        }
    }

    /// A job for the first that waits for one of its tube.
    fn deliver(&mut self, id: u64, job: JobStats, text: Vec<u8>, since: Duration) {
        let token: Arc<str> = self.number().to_string().into();
        let lease = Lease { id: id.into(), token: token.clone() };
        let mut held = Held {
            token,
            consumer: 0,
            priority: job.priority,
            reserves: job.reserves,
            ttr: job.ttr,
            since,
            settling: None,
        };
        let reserved = Reserved { lease, job, text };
        let taker = self.calls.values_mut().find_map(|entry| match &mut entry.call {
            Call::Wait(waiting)
                if entry.fault.is_none()
                    && waiting.job.is_none()
                    && waiting.want.tubes.contains(&reserved.job.tube) =>
            {
                Some((waiting, &entry.wakes))
            }
            _ => None,
        });
        self.late.remove(&id);
        match taker {
            Some((waiting, wakes)) => {
                held.consumer = waiting.consumer;
                waiting.job = Some(reserved);
                wakes.notify_one();
            }
            None => self.spare.push_back((reserved, id)),
        }
        self.held.insert(id, held);
    }

    // Jobs in hand.

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

    /// A job for which nobody had waited. One that has lain here for half its
    /// ttr may be another's by now.
    pub(super) fn take_spare(&mut self, tubes: &[String], now: Duration) -> Option<Reserved> {
        let held = &self.held;
        let good = |(reserved, id): &(Reserved, u64)| {
            tubes.contains(&reserved.job.tube)
                && held.get(id).is_some_and(|held| held.token == reserved.lease.token && held.holding(now).certain)
        };
        let at = self.spare.iter().position(good)?;
        self.spare.remove(at).map(|(reserved, _)| reserved)
    }

    /// All of those, their ids and priorities: no longer in hand.
    pub(super) fn all_spare(&mut self) -> Vec<(u64, u32)> {
        let spare = std::mem::take(&mut self.spare);
        let of = |(reserved, id): (Reserved, u64)| self.held.remove(&id).map(|_| (id, reserved.job.priority));
        spare.into_iter().filter_map(of).collect()
    }

    /// The call that is settling this job and has not heard of it.
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

    /// An answer did not come in time: tells all that wait. Whether the
    /// connection is kept, and what it owes with it.
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

    /// The connection has ended: the server has made ready again what was in
    /// hand.
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
        (self.eager, self.pause, self.look_at, self.silent_since) = (false, FIRST_PAUSE, Duration::ZERO, None);
        self.calls.retain(|_, entry| !matches!(&entry.call, Call::Ask(asking) if asking.left));
        for entry in self.calls.values_mut() {
            if let Call::Wait(waiting) = &mut entry.call {
                waiting.job = None;
                (waiting.looked, waiting.asked) = (false, false);
            }
        }
        self.tell(fault);
    }
}

#[cfg(test)]
mod tests;
