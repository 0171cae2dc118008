//! The limits of the server: names of tubes and whole seconds; and which tubes are not queues.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::queue::QueueError;

/// The maximum length of a tube's name, in bytes.
const LONGEST_NAME: usize = 200;

/// The longest delay of a job, in seconds: longer than anyone lives.
pub(super) const LONGEST_DELAY: u32 = u32::MAX;

/// The tube into which earlier versions put a job briefly, to learn the newest id.
const PROBE_TUBE: &str = "pulpo.probe";

/// The tube that keeps the reasons of burials.
pub(super) const REASONS_TUBE: &str = "pulpo.reasons";

/// Returns whether the tube is not a queue, but holds jobs that this adapter keeps for its own use.
pub(super) fn is_own(tube: &str) -> bool {
    tube == PROBE_TUBE || tube == REASONS_TUBE
}

pub(super) fn name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("a name has at least one character");
    }
    if name.len() > LONGEST_NAME {
        return Some("a name has at most 200 bytes");
    }
    if name.starts_with('-') {
        return Some("a name does not begin with a hyphen");
    }
    if is_own(name) {
        return Some("pulpo keeps its own notes in the tube with this name");
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "-+/;.$_()".contains(c);
    (!name.chars().all(fits)).then_some("a name has only letters and digits of ASCII and - + / ; . $ _ ( )")
}

pub(super) fn check_name(name: &str) -> Result<(), QueueError> {
    match name_problem(name) {
        None => Ok(()),
        Some(problem) => Err(QueueError::BadQueueName { name: name.to_owned(), problem }),
    }
}

/// Returns whole seconds, rounded up and limited to the server's maximum.
pub(crate) fn seconds(duration: Duration) -> u32 {
    let more = u64::from(duration.subsec_nanos() > 0);
    u32::try_from(duration.as_secs().saturating_add(more)).unwrap_or(u32::MAX)
}

/// Returns how many seconds from `now` a message has to wait that is not ready before `until`; never too few.
pub(crate) fn delay(until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<u32, QueueError> {
    let Some(wait) = until.and_then(|until| (until - now).to_std().ok()) else { return Ok(0) };
    let longest = Duration::from_secs(LONGEST_DELAY.into());
    if wait > longest {
        return Err(QueueError::DelayTooLong { delay: wait, longest });
    }
    Ok(seconds(wait))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn nothing_starts_early() {
        let now = "2026-11-23T09:00:00.5Z".parse().unwrap();
        let wait = |millis| delay(Some(now + TimeDelta::milliseconds(millis)), now).unwrap();
        assert_eq!(delay(None, now).unwrap(), 0);
        assert_eq!([wait(-5000), wait(0), wait(1), wait(1000), wait(1001)], [0, 0, 1, 1, 2]);
        assert_eq!(wait(i64::from(u32::MAX) * 1000), u32::MAX);
        let error = delay(Some(now + TimeDelta::days(365 * 200)), now).unwrap_err();
        assert!(error.to_string().starts_with("expected a delay of at most 136years "), "{error}");
    }

    #[test]
    fn names_are_those_that_the_server_takes() {
        for good in ["pulpo", "a", "7", "a-b+c/d;e.f$g_h(i)", "(x)", &"x".repeat(200)] {
            assert_eq!(name_problem(good), None, "{good}");
        }
        for bad in ["", "-a", "pulpo.reasons", "pulpo.probe", "a b", "a\r\ndelete 1", "ä", &"x".repeat(201)] {
            assert!(name_problem(bad).is_some(), "{bad}");
        }
    }
}
