//! What the server knows of a job and of a tube, and what follows from it.

use std::collections::HashMap;
use std::time::Duration;

use crate::queue::MessageState;

/// A message in the terms of the server: delay and ttr in whole seconds.
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
    /// Since it was put.
    pub(super) age: Duration,
    /// The one it was last put or released with.
    pub(super) delay: Duration,
    pub(super) ttr: Duration,
    /// Of a delay or a lease.
    pub(super) time_left: Duration,
    pub(super) reserves: u32,
    pub(super) releases: u32,
    pub(super) buries: u32,
    pub(super) kicks: u32,
}

/// How the runs of a job went, as far as the server's counters tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    /// Runs that ended without success.
    pub(super) attempts: u32,
    /// Those of them that ended without a word.
    pub(super) lost: u32,
    /// How often it was kicked after it was buried.
    pub(super) kicks: u32,
}

/// The answer to `stats-tube`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TubeStats {
    /// How many jobs are in each state, in the order of [`MessageState::ALL`].
    pub(super) jobs: [u64; 4],
    /// How many were ever put into it.
    pub(super) puts: u64,
    /// How many of them were deleted.
    pub(super) deletes: u64,
    /// Until it hands out jobs again.
    pub(super) pause_left: Duration,
}

impl TubeStats {
    pub(super) fn read(entries: &HashMap<String, String>) -> Option<Self> {
        let number = |key: &str| entries.get(key)?.parse::<u64>().ok();
        let jobs = |state: MessageState| number(&format!("current-jobs-{state}"));
        Some(Self {
            jobs: [
                jobs(MessageState::Ready)?,
                jobs(MessageState::Delayed)?,
                jobs(MessageState::Reserved)?,
                jobs(MessageState::Buried)?,
            ],
            puts: number("total-jobs")?,
            deletes: number("cmd-delete")?,
            pause_left: Duration::from_secs(number("pause-time-left")?),
        })
    }

    pub(super) fn buried(&self) -> u64 {
        self.jobs[3]
    }
}

impl JobStats {
    /// By what the server says under each key.
    pub(super) fn read<'a>(of: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let number = |key: &str| of(key)?.parse::<u32>().ok();
        let seconds = |key: &str| Some(Duration::from_secs(of(key)?.parse().ok()?));
        Some(Self {
            tube: of("tube")?.to_owned(),
            state: of("state")?.parse().ok()?,
            priority: number("pri")?,
            age: seconds("age")?,
            delay: seconds("delay")?,
            ttr: seconds("ttr")?,
            time_left: seconds("time-left")?,
            reserves: number("reserves")?,
            releases: number("releases")?,
            buries: number("buries")?,
            kicks: number("kicks")?,
        })
    }

    /// For how long it could have been started: after a release the delay is
    /// that of the release, and no longer that of the job.
    pub(super) fn waited(&self) -> Duration {
        let delay = if self.releases == 0 { self.delay } else { Duration::ZERO };
        self.age.saturating_sub(delay)
    }

    /// Each reservation ends with a release, a burial, or without a word (its
    /// connection closed, or its ttr passed).
    ///
    /// A buried job is reserved again only after a kick, so all kicks beyond
    /// those were of delayed jobs. So our consumer marks a rollback that does
    /// not count, see `Settlement::Rollback`.
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
