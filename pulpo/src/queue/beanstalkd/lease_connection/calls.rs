//! The calls of the shared connection, and which answers belong to them.

use std::sync::{Arc, Condvar};
use std::time::Duration;

use crate::queue::Lease;
use crate::queue::beanstalkd::fault::Fault;
use crate::queue::beanstalkd::job::JobStats;
use crate::queue::beanstalkd::protocol::{Answer, Commands};

/// A job that was just reserved, with the server's data about it.
#[derive(Debug)]
pub(in crate::queue::beanstalkd) struct Reserved {
    pub(in crate::queue::beanstalkd) lease: Lease,
    pub(in crate::queue::beanstalkd) job: JobStats,
    pub(in crate::queue::beanstalkd) text: Vec<u8>,
}

/// The facts about a held job that a settling command may need.
#[derive(Clone, Copy, Debug)]
pub(in crate::queue::beanstalkd) struct Holding {
    pub(in crate::queue::beanstalkd) priority: u32,
    pub(in crate::queue::beanstalkd) reserves: u32,
    /// Whether the lease cannot have ended yet, or the settlement was sent before and only its answer is missing.
    pub(in crate::queue::beanstalkd) certain: bool,
}

/// The request of a consumer that waits for a job.
#[derive(Clone, Debug)]
pub(in crate::queue::beanstalkd) struct Want {
    pub(in crate::queue::beanstalkd) tubes: Arc<[String]>,
    /// How many more jobs it takes right after this one.
    pub(in crate::queue::beanstalkd) more: usize,
    pub(in crate::queue::beanstalkd) wait: Duration,
}

/// A command, and the answers that fit it, including refusals.
#[derive(Debug)]
pub(in crate::queue::beanstalkd) struct Expect {
    pub(super) command: fn(&mut Commands, &Numbers),
    pub(super) numbers: Numbers,
    pub(super) answer: fn(&Answer) -> bool,
    /// Whether the job is no longer in hand afterwards.
    pub(super) settles: bool,
}

#[derive(Debug, Default)]
pub(super) struct Numbers {
    pub(super) id: u64,
    pub(super) priority: u32,
    pub(super) delay: u32,
    pub(super) text: String,
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

    /// Releases a job in hand so that its run does not count. Only a kick leaves a mark in the server's counters, and
    /// only a buried or delayed job can be kicked. Both commands go in one write, so nothing that ends this process
    /// comes between them. Not for a lease that may have ended: the kick could reach the job of another worker.
    pub(in crate::queue::beanstalkd) fn uncounted(id: u64, priority: u32) -> [Self; 2] {
        [Self::released(id, priority, 1), Self::kicked(id)]
    }

    pub(in crate::queue::beanstalkd) fn stats(id: u64) -> Self {
        Self::new(|commands, n| _ = commands.stats_job(n.id), id, |answer| matches!(answer, Answer::Told(_)))
    }
}

/// A command about a job in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::queue::beanstalkd) enum Kind {
    Delete,
    Release,
    Bury,
    /// Asks only for its statistics.
    Stats,
}

/// The command to which an outstanding answer belongs.
#[derive(Debug)]
pub(super) enum Owed {
    /// A `watch` or an `ignore`.
    Watching,
    /// A reservation from one of these tubes.
    Job {
        tubes: Arc<[String]>,
        at_server: bool,
        /// The newest call when it was sent: for later calls, the answer does not prove that there is no job.
        asked_by: u64,
    },
    /// The server's data about a job that was just reserved.
    Stats { id: u64, text: Vec<u8>, since: Duration },
    /// The deletion of a done job.
    Deleted(Lease),
    /// A check whether a done job is still ours to delete.
    Doubtful { lease: Lease, id: u64, reserves: u32 },
    /// Commands of the call with this number.
    Asked { call: u64, answer: fn(&Answer) -> bool, settles: bool },
}

/// A call that waits for a job.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) consumer: u64,
    pub(super) want: Want,
    pub(super) until: Duration,
    /// Whether the server has reported, in answer to a request sent after the call arrived, that there is no job.
    pub(super) checked: bool,
    /// Whether the call has asked on another connection, while this one waited at the server, and learned that there is
    /// a job.
    pub(super) asked: bool,
    pub(super) job: Option<Reserved>,
}

impl Waiting {
    pub(super) fn new(consumer: u64, want: Want, until: Duration) -> Self {
        Self { consumer, want, until, checked: false, asked: false, job: None }
    }
}

/// A call that waits for answers.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) answers: Vec<Answer>,
    pub(super) missing: usize,
    pub(super) about: Option<(Lease, u64, Kind)>,
    /// Whether it gave up before all answers had arrived.
    pub(super) left: bool,
}

#[derive(Debug)]
pub(super) enum Call {
    Wait(Waiting),
    Ask(Asking),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) wakes: Arc<Condvar>,
    pub(super) call: Call,
    pub(super) fault: Option<Fault>,
}

/// A job that this connection has reserved.
#[derive(Debug)]
pub(super) struct HeldJob {
    pub(super) token: Arc<str>,
    pub(super) consumer: u64,
    pub(super) priority: u32,
    /// The server's count of reservations, which identifies this delivery of the job.
    pub(super) reserves: u32,
    pub(super) ttr: Duration,
    /// The lease lasts at least a ttr from this time.
    pub(super) since: Duration,
    /// The call that is settling it.
    pub(super) settling: Option<u64>,
}

impl HeldJob {
    pub(super) fn holding(&self, now: Duration) -> Holding {
        let certain = self.settling.is_some() || now.saturating_sub(self.since) < self.ttr / 2;
        Holding { priority: self.priority, reserves: self.reserves, certain }
    }
}

/// A job that is done and not deleted yet.
#[derive(Debug)]
pub(super) struct Deferred {
    pub(super) lease: Lease,
    pub(super) id: u64,
    pub(super) held: HeldJob,
}

/// The next step of a call that waits for a job.
pub(super) enum Progress {
    Done(Result<Option<Reserved>, Fault>),
    /// Lead: there is something to send or to read.
    Lead,
    /// Ask on another connection whether there is a job: this one waits at the server for another call, since before
    /// this call arrived, and the server does nothing else for it.
    Ask {
        tubes: Arc<[String]>,
        asked_by: u64,
    },
    /// Rest until it is woken or this time has passed.
    Rest(Duration),
}
