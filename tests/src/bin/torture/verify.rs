//! The rules that must hold for each job, whatever happened to the processes.

use std::io;
use std::path::Path;

use serde::Serialize;

use crate::history::{Burial, History, Job, Life, Publication, Run};
use crate::kind::{Kind, Rightful, Then};
use crate::ledger::Fault;
use crate::report::Report;
use crate::scene;

use self::unseen::Unseen;

mod unseen;
mod way;

/// Two processes may write their entries in another order than the events happened, within this
/// many microseconds.
const SLACK: u64 = 250_000;

/// The number of calls of one lane that may be unsettled when its process dies: a lane settles a
/// message before it takes the next one.
const UNSETTLED_CALLS: u64 = 1;

/// The embedded queue may defer the commit of a short job by five milliseconds. On a machine that is
/// busy with other things, its thread for commits may be late by this many microseconds.
const PUT_OFF: u64 = 150_000;

/// PostgreSQL writes the commit of a short job to disk within three rounds of its WAL writer, of
/// 200 milliseconds each: this many microseconds.
const WRITTEN_LATE: u64 = 700_000;

/// A job that did not reach its required end, or reached it in a wrong way.
#[derive(Debug, Serialize)]
pub(crate) struct Violation {
    pub(crate) key: Option<String>,
    pub(crate) what: String,
    /// Its entries in the ledger, and what happened around them.
    pub(crate) way: Vec<String>,
}

/// The reason why a message ran again although it had not failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cause {
    /// Its worker died while it held the message.
    WorkerDied,
    /// Its worker was told to end, and returned it.
    WorkerStopped,
    /// Its server was killed, which ended all leases.
    ServerKilled,
    /// Its worker stood still for longer than the lease.
    WorkerStoodStill,
    /// It is another message: the spool has sent it twice.
    SentAgain,
}

impl Violation {
    pub(crate) fn of_processes(what: String) -> Self {
        Self { key: None, what, way: Vec::new() }
    }
}

/// Checks every job.
pub(crate) fn all(history: &History, queue: scene::Kind, folder: &Path) -> io::Result<Report> {
    let mut report = Report::new(history);
    let (mut wrong, mut unseen): (Vec<(String, String)>, _) = (Vec::new(), Vec::new());
    for (key, job) in &history.jobs {
        let mut check =
            JobCheck { history, queue, key, job, report: &mut report, wrong: Vec::new(), unseen: Vec::new() };
        check.all();
        unseen.extend(check.unseen);
        wrong.extend(check.wrong.into_iter().map(|what| (key.clone(), what)));
    }
    if queue.is_beanstalkd() {
        let (explained, without) = unseen::explain(history, queue, unseen);
        for cause in explained {
            *report.unseen_by.entry(cause).or_default() += 1;
        }
        report.most_unseen = unseen::most(history, queue);
        // Those without a cause are wrong one by one.
        if without.is_empty() && report.unseen > report.most_unseen {
            let what = format!("{} attempts without a run, in place of {} at most", report.unseen, report.most_unseen);
            report.violations.push(Violation::of_processes(what));
        }
        report.attempts_wrong += without.len() as u64;
        wrong.extend(without);
    }
    // The first few are enough, because each includes all of its entries.
    let ways = way::of(folder, wrong.iter().take(50).map(|(key, _)| key.as_str()))?;
    for (key, what) in wrong {
        let way = ways.get(&key).cloned().unwrap_or_default();
        report.violations.push(Violation { key: Some(key), what, way });
    }
    Ok(report)
}

/// The check of one job.
struct JobCheck<'a> {
    history: &'a History,
    queue: scene::Kind,
    key: &'a str,
    job: &'a Job,
    report: &'a mut Report,
    wrong: Vec<String>,
    unseen: Vec<Unseen>,
}

impl JobCheck<'_> {
    fn all(&mut self) {
        let job = self.job;
        let Some(kind) = job.kind else {
            return self.wrong.push("it was not published, and it never ran".to_owned());
        };
        let seen = !job.messages.is_empty() || !job.burials.is_empty() || !job.left.is_empty();
        match job.publication {
            Publication::Certain => self.report.published += 1,
            Publication::Perhaps => self.report.perhaps_published += 1,
            Publication::Refused => {
                self.report.refused += 1;
                if seen {
                    self.wrong.push("its publication was refused, and yet it is there".to_owned());
                }
            }
            Publication::Elsewhere => self.report.follow_ups += 1,
        }
        if !job.left.is_empty() {
            self.report.stranded += 1;
            self.wrong.push(format!("stranded: it is still {}", job.left.join(", ")));
        } else if seen || job.publication == Publication::Certain {
            self.end(kind);
        }
        self.copies(kind);
        for runs in job.messages.values() {
            self.runs(kind, runs);
        }
        if kind == Kind::Parent && self.is_done() {
            let child = self.history.jobs.get(&format!("{}/child", self.key));
            if child.is_none_or(|child| !done(child) && child.left.is_empty()) {
                self.report.lost += 1;
                self.wrong.push("lost: it was done, and what it published was not".to_owned());
            }
        }
    }

    fn is_done(&self) -> bool {
        done(self.job)
    }

    /// Checks its required end.
    fn end(&mut self, kind: Kind) {
        let job = self.job;
        match (kind.rightful(), job.burials.last()) {
            (Rightful::Done, None) if self.is_done() => self.report.done += 1,
            (Rightful::Done, Some(burial)) => self.wrong.push(format!("buried in place of done: {:?}", burial.reason)),
            (_, Some(burial)) => {
                self.report.buried += 1;
                self.burial(kind, burial);
            }
            (_, None) => {
                self.report.lost += 1;
                self.wrong.push("lost: it is in no queue and has not come to its end".to_owned());
            }
        }
    }

    fn burial(&mut self, kind: Kind, burial: &Burial) {
        let reason = burial.reason.as_deref().unwrap_or_default();
        let expected = kind.burial_reason(self.key);
        let fits = match kind {
            // The number of its deaths that the server knows, see below.
            Kind::Abort => reason.starts_with(&expected),
            _ => reason == expected,
        };
        // A job that gives up may lose its last attempt to a kill, perhaps before its handler was called.
        let begun = self.job.messages.values().flatten().map(|run| run.start).max().unwrap_or_default();
        let lost_its_last = kind.rightful() == Rightful::BuriedInTheEnd
            && reason.starts_with("its worker died ")
            && self.troubled(begun, burial.at);
        if !fits && !lost_its_last {
            self.wrong.push(format!("buried with a reason that is not its own: expected {expected:?}, got {reason:?}"));
        }
        let again = self.job.messages.get(&Some(burial.id.clone())).into_iter().flatten();
        if again.into_iter().any(|run| run.start > burial.at + SLACK && !self.is_late(run)) {
            self.wrong.push("it ran after it was buried".to_owned());
        }
    }

    /// Checks the number of messages. A publication creates one. A follow-up is published again
    /// with each run that it follows from, if the queue cannot do both in one step.
    fn copies(&mut self, kind: Kind) {
        let copies = self.job.messages.keys().flatten().count();
        let parent = self.key.strip_suffix("/child").and_then(|parent| self.history.jobs.get(parent));
        let again = parent.filter(|_| self.queue.is_beanstalkd());
        let mut most = again.map_or(1, |parent| parent.messages.values().flatten().count());
        if self.queue == scene::Kind::Spool {
            // A process that dies between sending a message and recording it leaves it to be sent again.
            self.report.sent_again += (copies as u64).saturating_sub(most as u64);
            most += self.history.processes.values().filter(|life| life.died()).count();
        }
        if copies > most {
            self.wrong.push(format!("{kind:?} became {copies} messages in place of {most}"));
        }
    }

    fn runs(&mut self, kind: Kind, runs: &[Run]) {
        self.report.runs += runs.len() as u64;
        self.report.cut_off += runs.iter().filter(|run| run.end.is_none()).count() as u64;
        if let Some(first) = runs.first()
            && let Some(unseen) = first.attempt.and_then(|attempt| attempt.checked_sub(1)).filter(|unseen| *unseen > 0)
        {
            self.unseen(unseen, self.job.published_at, first);
        }
        let mut uncounted = false;
        for pair in runs.windows(2) {
            let [run, next] = pair else { continue };
            // The members of a batch do not know which message they are.
            let may_be_another = self.queue == scene::Kind::Spool && run.attempt.is_none();
            let cause = self.cause(run, next).or(may_be_another.then_some(Cause::SentAgain));
            // A member of a batch does not know its attempt, so it always fails.
            let fails = kind.plan(run.attempt).1 != Then::Succeed && kind.plan(run.attempt).1 != Then::Fatal;
            if !fails {
                self.report.extra_runs += 1;
                match cause {
                    Some(cause) => *self.report.explained.entry(cause).or_default() += 1,
                    None => self.wrong.push(format!("it ran again at {}, and no kill explains it", next.start)),
                }
            }
            uncounted = self.attempts(run, next, cause, uncounted);
        }
        if let Some(most) = runs.iter().filter_map(|run| run.attempt).max()
            && most > kind.max_attempts()
        {
            self.report.attempts_wrong += 1;
            self.wrong.push(format!("expected at most {} attempts, got {most}", kind.max_attempts()));
        }
    }

    /// Checks whether its process received the message, stood still, and called the handler when it
    /// continued. The time in between is unknown.
    fn is_late(&self, run: &Run) -> bool {
        let just_before = |(_, to): &(u64, u64)| *to <= run.start + SLACK && run.start <= *to + SLACK;
        self.life(run).is_some_and(|life| life.stalls.iter().any(just_before))
    }

    /// Checks that each run is an attempt, unless its worker returned it or the server that counts
    /// was killed.
    ///
    /// If a worker dies, PostgreSQL does not know whether a message that was leased ahead ran. The
    /// first such run is not counted; then the message is leased alone. Returns whether this was
    /// such a run.
    fn attempts(&mut self, run: &Run, next: &Run, cause: Option<Cause>, uncounted: bool) -> bool {
        let (Some(before), Some(after)) = (run.attempt, next.attempt) else { return false };
        if self.is_late(run) || self.is_late(next) {
            return false;
        }
        let forgotten = self.server_killed(run.start, next.start);
        let released =
            cause == Some(Cause::WorkerStopped) || self.life(run).is_some_and(|life| life.stopped_at().is_some());
        // A run that succeeded, but was not settled when its worker died or fell silent, is not an attempt.
        let by_death = matches!(cause, Some(Cause::WorkerDied | Cause::WorkerStoodStill));
        let done = self.defers() && by_death && matches!(run.end, Some((_, Then::Succeed)));
        let ahead = self.queue == scene::Kind::Postgres && by_death && !uncounted && after == before;
        let least = if forgotten { 1 } else { before + u32::from(!released && !done && !ahead) };
        if after < least {
            self.report.attempts_wrong += 1;
            self.wrong.push(format!("expected attempt {least} or more after {before}, got {after}"));
        }
        if after > before + 1 {
            self.unseen(after - before - 1, run.start, next);
        }
        ahead && !released && !done
    }

    /// Checks whether the queue defers the commits of short jobs.
    fn defers(&self) -> bool {
        !self.queue.is_beanstalkd()
    }

    /// Records attempts without a run: their workers died, or stood still, before the run began.
    /// One such event costs a job at most one attempt.
    fn unseen(&mut self, count: u32, since: u64, next: &Run) {
        self.report.unseen += u64::from(count);
        self.unseen.push(Unseen { key: self.key.to_owned(), count, since, until: next.start });
        let troubles = self.troubles(since, next.start);
        if u64::from(count) > troubles {
            self.report.attempts_wrong += 1;
            self.wrong
                .push(format!("{count} attempts more than its runs, and {troubles} kills and pauses in that time"));
        }
    }

    /// Checks whether an event in this interval ended leases.
    fn troubled(&self, since: u64, until: u64) -> bool {
        self.troubles(since, until) > 0
    }

    /// Counts how often in this interval all leases of a process, or of the server, ended.
    fn troubles(&self, since: u64, until: u64) -> u64 {
        let (since, until) = (since.saturating_sub(SLACK), until + SLACK);
        let near = |at: u64| since <= at && at <= until;
        let of_life = |life: &Life| {
            let died = life.died() && (near(life.last) || life.gone.is_some_and(|(at, _)| near(at)));
            // A kill is both a fault and a death.
            let faults = life.faults.iter().filter(|(at, fault)| near(*at) && !(died && *fault == Fault::Kill)).count();
            let stalls = life.stalls.iter().filter(|(from, to)| *from <= until && *to >= since).count();
            u64::from(died) + faults.max(stalls) as u64
        };
        let lives: u64 = self.history.processes.values().map(of_life).sum();
        let in_time = |(at, gone): &&(u64, u64)| since <= *gone + SLACK && *at <= until + SLACK;
        let kills = self.history.server_kills.iter().filter(in_time).count();
        lives + kills as u64
    }

    fn life(&self, run: &Run) -> Option<&Life> {
        self.history.processes.get(&run.process)
    }

    fn server_killed(&self, since: u64, until: u64) -> bool {
        self.history.server_kills.iter().any(|(at, gone)| since <= *gone + SLACK && *at <= until + SLACK)
    }

    /// Returns what ended the lease of a run before it was settled.
    fn cause(&self, run: &Run, next: &Run) -> Option<Cause> {
        let life = self.life(run)?;
        let unsettled = self.cut_off_by_death(life, run) || self.was_put_off(life, run);
        if life.died() && unsettled && next.start + SLACK >= life.last {
            return Some(Cause::WorkerDied);
        }
        let ended = run.end.map_or(u64::MAX, |(at, _)| self.settled_by(at));
        if life.stopped_at().is_some_and(|at| at <= ended && at <= next.start) {
            return Some(Cause::WorkerStopped);
        }
        if self.server_killed(run.start, ended.min(next.start)) {
            return Some(Cause::ServerKilled);
        }
        let stood_still = |(from, to): &(u64, u64)| *from <= ended && *from <= next.start && *to + SLACK >= run.start;
        let paused = |(at, fault): &(u64, Fault)| *fault == Fault::Pause && *at <= ended && *at <= next.start;
        if life.stalls.iter().any(stood_still) || life.died() && life.faults.iter().any(paused) {
            return Some(Cause::WorkerStoodStill);
        }
        // Another process did, and kept this one from renewing its lease.
        let locked = |(from, to): &(u64, u64)| *from <= ended && *from <= next.start && *to + SLACK >= run.start;
        if self.queue == scene::Kind::File && self.history.locked.iter().any(locked) {
            return Some(Cause::WorkerStoodStill);
        }
        self.is_late(next).then_some(Cause::WorkerStoodStill)
    }

    /// Returns when a run that ended at this time was settled at the latest. A process that stands
    /// still in the middle of a write blocks the writes of all others.
    fn settled_by(&self, end: u64) -> u64 {
        let mut by = end.saturating_add(SLACK);
        if self.queue == scene::Kind::Postgres {
            by = by.saturating_add(WRITTEN_LATE);
        }
        if self.queue == scene::Kind::File {
            for (from, to) in &self.history.locked {
                if *from <= by && *to >= end {
                    by = by.max(to.saturating_add(SLACK));
                }
            }
        }
        by
    }

    /// Checks whether its process died before it made the commit.
    fn was_put_off(&self, life: &Life, run: &Run) -> bool {
        let late = |at: u64| at.saturating_add(PUT_OFF).max(self.settled_by(at)) >= life.last;
        self.defers() && matches!(run.end, Some((at, Then::Succeed)) if late(at))
    }

    /// Checks whether its process died before it had settled the run.
    fn cut_off_by_death(&self, life: &Life, run: &Run) -> bool {
        life.calls.get(&run.lane).is_some_and(|last| run.call + UNSETTLED_CALLS > *last)
    }
}

fn done(job: &Job) -> bool {
    // A run that exceeds its timeout may be just in time.
    job.messages.values().flatten().any(|run| matches!(run.end, Some((_, Then::Succeed))))
}

#[cfg(test)]
mod tests;
