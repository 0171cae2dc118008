//! The server's data about a job and a tube, and conclusions from them.

use std::time::Duration;

use crate::queue::{Filter, MessageState};

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
    entries(text).find(|(name, _)| *name == key)?.1.parse().ok()
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
            pause_left: Duration::from_secs(number(text, "pause-time-left")?),
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
    /// Parses the answer; `None` if it is garbled.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (mut tube, mut state) = (None, None);
        let mut numbers = [None; 9];
        const KEYS: [&str; 9] = ["pri", "age", "delay", "ttr", "time-left", "reserves", "releases", "buries", "kicks"];
        for (key, value) in entries(text) {
            match key {
                "tube" => tube = Some(value.to_owned()),
                "state" => state = value.parse().ok(),
                _ => {
                    if let Some(place) = KEYS.iter().position(|known| *known == key) {
                        numbers[place] = value.parse::<u64>().ok();
                    }
                }
            }
        }
        let [priority, age, delay, ttr, time_left, reserves, releases, buries, kicks] = numbers;
        let count = |number: Option<u64>| u32::try_from(number?).ok();
        Some(Self {
            tube: tube?,
            state: state?,
            priority: count(priority)?,
            age: Duration::from_secs(age?),
            delay: Duration::from_secs(delay?),
            ttr: Duration::from_secs(ttr?),
            time_left: Duration::from_secs(time_left?),
            reserves: count(reserves)?,
            releases: count(releases)?,
            buries: count(buries)?,
            kicks: count(kicks)?,
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
    fn what_a_server_tells_of_a_job_is_read() {
        let text = "---\nid: 1\ntube: \"a:b\"\nstate: delayed\npri: 5\nage: 10\ndelay: 7\nttr: 60\ntime-left: 3\n\
                    file: 1\nreserves: 4\ntimeouts: 1\nreleases: 2\nburies: 1\nkicks: 1\n";
        let job = JobStats::read(text).unwrap();
        assert_eq!((job.tube.as_str(), job.state, job.priority), ("a:b", MessageState::Delayed, 5));
        assert_eq!([job.age, job.delay, job.time_left].map(|time| time.as_secs()), [10, 7, 3]);
        assert_eq!((job.reserves, job.releases, job.buries, job.kicks), (4, 2, 1, 1));
        assert!(JobStats::read(&text.replace("kicks", "licks")).is_none());
        assert_eq!(names("---\n- default\n- \"1\"\n"), ["default", "1"]);
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
