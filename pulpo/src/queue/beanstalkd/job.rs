//! The server's data about a job and a tube, and conclusions from them.

use std::time::Duration;

use crate::queue::{Filter, MessageState};

/// No job is as old as this, some 68 years.
const OLDEST: Duration = Duration::from_secs(1 << 31);

/// A message in the server's terms: delay and ttr are in whole seconds.
#[derive(Debug)]
pub(super) struct NewJob {
    pub(super) tube: String,
    pub(super) priority: u32,
    pub(super) delay: u32,
    pub(super) ttr: u32,
    pub(super) text: String,
}

/// The answer to `stats-job`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobStats {
    pub(super) tube: String,
    pub(super) state: MessageState,
    pub(super) priority: u32,
    /// The time since it was put.
    pub(super) age: Duration,
    /// The delay with which it was last put or released.
    pub(super) delay: Duration,
    pub(super) ttr: Duration,
    /// The time left of a delay or a lease.
    pub(super) time_left: Duration,
    pub(super) reserves: u32,
    pub(super) releases: u32,
    pub(super) buries: u32,
    pub(super) kicks: u32,
}

/// How the runs of a job went, according to the server's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    /// Runs that ended without success.
    pub(super) attempts: u32,
    /// Those of them that ended without being settled.
    pub(super) lost: u32,
    /// How often it was kicked after a burial.
    pub(super) kicks: u32,
}

/// The answer to `stats-tube`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TubeStats {
    /// The number of jobs in each state, in the order of [`MessageState::LIVE`].
    pub(super) jobs: [u64; 4],
    /// How many jobs were ever put into it.
    pub(super) puts: u64,
    /// How many of them were deleted.
    pub(super) deletes: u64,
    /// The time until it hands out jobs again.
    pub(super) pause_left: Duration,
}

/// Returns the keys and values in a text of the server, one per line. Newer servers put the names of tubes into
/// quotation marks.
fn entries(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let split = |line| str::split_once(line, ": ").map(|(key, value)| (key, value.trim_matches('"')));
    text.lines().filter_map(split)
}

/// Returns the names in the answer to `list-tubes`.
pub(super) fn names(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.strip_prefix("- ")).map(|name| name.trim_matches('"').to_owned()).collect()
}

/// Returns the number under this key.
pub(super) fn number(text: &str, key: &str) -> Option<u64> {
    value(text, key)?.parse().ok()
}

/// Returns the text under this key, unless it is empty.
pub(super) fn text(text: &str, key: &str) -> Option<String> {
    value(text, key).filter(|value| !value.is_empty()).map(str::to_owned)
}

fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    entries(text).find(|(name, _)| *name == key).map(|(_, value)| value)
}

/// Returns a time that the server measures, in seconds. It is negative while the clock of the server's machine is
/// behind an earlier time, after it was set back: such a time counts as zero.
fn span(value: &str) -> Option<Duration> {
    let seconds = match value.parse::<i64>() {
        Ok(seconds) => u64::try_from(seconds).unwrap_or(0),
        // A negative number that was printed as one without a sign.
        Err(_) => value.parse::<u64>().map(|_| 0).ok()?,
    };
    Some(Duration::from_secs(seconds))
}

impl TubeStats {
    /// Parses the answer; `None` if it is garbled.
    pub(super) fn read(text: &str) -> Option<Self> {
        let jobs = |state: MessageState| number(text, &format!("current-jobs-{state}"));
        let [ready, delayed, reserved, buried] = MessageState::LIVE.map(jobs);
        Some(Self {
            jobs: [ready?, delayed?, reserved?, buried?],
            puts: number(text, "total-jobs")?,
            deletes: number(text, "cmd-delete")?,
            pause_left: span(value(text, "pause-time-left")?)?,
        })
    }

    /// Returns how many jobs are in a state that the filter includes.
    pub(super) fn count(&self, filter: &Filter) -> u64 {
        let counts = MessageState::LIVE.into_iter().zip(self.jobs);
        counts.filter(|(state, _)| filter.has_state(*state)).map(|(_, count)| count).sum()
    }

    pub(super) fn ready(&self) -> u64 {
        self.jobs[0]
    }

    pub(super) fn delayed(&self) -> u64 {
        self.jobs[1]
    }

    pub(super) fn buried(&self) -> u64 {
        self.jobs[3]
    }
}

impl JobStats {
    /// Parses the answer about the job with this id; `None` if it is garbled, or about another job.
    pub(super) fn read(text: &str, its_id: u64) -> Option<Self> {
        let (mut id, mut tube, mut state) = (None, None, None);
        let (mut priority, mut reserves, mut releases, mut buries, mut kicks) = (None, None, None, None, None);
        let (mut age, mut delay, mut ttr, mut time_left) = (None, None, None, None);
        for (key, value) in entries(text) {
            match key {
                "id" => id = value.parse().ok(),
                "tube" => tube = Some(value.to_owned()),
                "state" => state = value.parse().ok(),
                "pri" => priority = value.parse().ok(),
                "reserves" => reserves = value.parse().ok(),
                "releases" => releases = value.parse().ok(),
                "buries" => buries = value.parse().ok(),
                "kicks" => kicks = value.parse().ok(),
                "age" => age = span(value),
                "delay" => delay = span(value),
                "ttr" => ttr = span(value),
                "time-left" => time_left = span(value),
                _ => {}
            }
        }
        if id != Some(its_id) {
            return None;
        }
        Some(Self {
            tube: tube?,
            state: state?,
            priority: priority?,
            // Older servers print a negative age in 32 bits.
            age: age.map(|age| if age < OLDEST { age } else { Duration::ZERO })?,
            delay: delay?,
            ttr: ttr?,
            time_left: time_left?,
            reserves: reserves?,
            releases: releases?,
            buries: buries?,
            kicks: kicks?,
        })
    }

    /// Returns for how long the job could have been started. After a release, the delay is that of the release and no
    /// longer that of the job.
    pub(super) fn waited(&self) -> Duration {
        let delay = if self.releases == 0 { self.delay } else { Duration::ZERO };
        self.age.saturating_sub(delay)
    }

    /// Computes the counts. Each reservation ends with a release, a burial, or unsettled (its connection closed, or its
    /// ttr passed).
    ///
    /// A buried job is reserved again only after a kick, so any further kicks were of delayed jobs. That is how our
    /// consumer marks a rollback that does not count, see `Settlement::Rollback`.
    pub(super) fn counts(&self) -> Counts {
        let ended = self.reserves.saturating_sub(u32::from(self.state == MessageState::Reserved));
        let kicks = self.buries.saturating_sub(u32::from(self.state == MessageState::Buried));
        let uncounted = self.kicks.saturating_sub(kicks);
        let attempts = ended.saturating_sub(uncounted);
        let lost = ended.saturating_sub(self.releases).saturating_sub(self.buries);
        Counts { attempts, lost: lost.min(attempts), kicks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(state: MessageState, reserves: u32, releases: u32, buries: u32, kicks: u32) -> Counts {
        let zero = Duration::ZERO;
        let job = JobStats {
            tube: "pulpo".to_owned(),
            state,
            priority: 0,
            age: zero,
            delay: zero,
            ttr: zero,
            time_left: zero,
            reserves,
            releases,
            buries,
            kicks,
        };
        job.counts()
    }

    #[test]
    fn the_statistics_of_a_job_are_read() {
        let text = "---\nid: 1\ntube: \"a:b\"\nstate: delayed\npri: 5\nage: 10\ndelay: 7\nttr: 60\ntime-left: 3\n\
                    file: 1\nreserves: 4\ntimeouts: 1\nreleases: 2\nburies: 1\nkicks: 1\n";
        let job = JobStats::read(text, 1).unwrap();
        assert_eq!((job.tube.as_str(), job.state, job.priority), ("a:b", MessageState::Delayed, 5));
        assert_eq!([job.age, job.delay, job.time_left].map(|time| time.as_secs()), [10, 7, 3]);
        assert_eq!((job.reserves, job.releases, job.buries, job.kicks), (4, 2, 1, 1));
        assert!(JobStats::read(&text.replace("kicks", "licks"), 1).is_none());
        assert!(JobStats::read(text, 2).is_none(), "it is about another job");
        assert_eq!(names("---\n- default\n- \"1\"\n"), ["default", "1"]);
    }

    #[test]
    fn times_of_a_server_whose_clock_was_set_back_count_as_zero() {
        let job = |age: &str, left: &str| {
            let text = format!(
                "---\nid: 1\ntube: a\nstate: reserved\npri: 5\nage: {age}\ndelay: 0\nttr: 60\ntime-left: {left}\n\
                 file: 0\nreserves: 1\ntimeouts: 0\nreleases: 0\nburies: 0\nkicks: 0\n"
            );
            JobStats::read(&text, 1).map(|job| (job.age.as_secs(), job.time_left.as_secs(), job.waited().as_secs()))
        };
        assert_eq!(job("-9", "-1"), Some((0, 0, 0)));
        assert_eq!(job("-9223372036", "60"), Some((0, 60, 0)));
        // The same numbers without a sign, in 32 and 64 bits.
        assert_eq!(job("4294967287", "59"), Some((0, 59, 0)));
        assert_eq!(job("18446744073709551607", "18446744073709551615"), Some((0, 0, 0)));
        assert_eq!(job("3", "57"), Some((3, 57, 3)));
        // A delay of 136 years is one.
        assert_eq!(job("0", "4294967295"), Some((0, u64::from(u32::MAX), 0)));
        assert_eq!(job("", "57"), None);
        assert_eq!(job("now", "57"), None);
        let tube = |left: &str| {
            let text = format!(
                "---\nname: a\ncurrent-jobs-ready: 1\ncurrent-jobs-reserved: 0\ncurrent-jobs-delayed: 0\n\
                 current-jobs-buried: 0\ntotal-jobs: 1\ncmd-delete: 0\npause: 60\npause-time-left: {left}\n"
            );
            TubeStats::read(&text).map(|tube| tube.pause_left.as_secs())
        };
        assert_eq!([tube("-3"), tube("7"), tube("?")], [Some(0), Some(7), None]);
    }

    #[test]
    fn runs_are_counted_from_the_servers_counters() {
        let counts = |attempts, lost, kicks| Counts { attempts, lost, kicks };
        assert_eq!(job(MessageState::Ready, 0, 0, 0, 0), counts(0, 0, 0));
        assert_eq!(job(MessageState::Reserved, 1, 0, 0, 0), counts(0, 0, 0), "the first delivery");
        assert_eq!(job(MessageState::Reserved, 3, 2, 0, 0), counts(2, 0, 0), "after two rollbacks");
        assert_eq!(job(MessageState::Reserved, 3, 1, 0, 0), counts(2, 1, 0), "after a rollback and a death");
        assert_eq!(job(MessageState::Reserved, 3, 2, 0, 1), counts(1, 0, 0), "after a rollback and a shutdown");
        assert_eq!(job(MessageState::Buried, 3, 2, 1, 0), counts(3, 0, 0), "buried by its third run");
        assert_eq!(job(MessageState::Reserved, 4, 2, 1, 1), counts(3, 0, 1), "and kicked");
        assert_eq!(job(MessageState::Buried, 5, 2, 2, 2), counts(4, 1, 1), "kicked, shut down, buried");
    }
}
