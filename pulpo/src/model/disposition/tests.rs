use chrono::TimeDelta;

use super::*;
use crate::outcome::{Failure, fatal, retry_after, transient};

const POLICY: Policy = Policy::DEFAULT;

fn now() -> DateTime<Utc> {
    "2026-11-23T09:00:00Z".parse().expect("a time")
}

/// Returns the situation of a first delivery that is due now.
fn first_attempt() -> AttemptState {
    AttemptState {
        failed: 0,
        lost: 0,
        maybe_begun: false,
        delay: None,
        expiration: None,
        left_since: None,
        served: Served::Never,
        policy: POLICY,
        now: now(),
        jitter: 0.0,
        stopping: false,
        cancelled: false,
    }
}

fn rollback(delay: Duration, reason: &str, counted: bool) -> Disposition {
    Disposition::Rollback { delay, reason: reason.to_owned(), counted }
}

fn bury(reason: &str, counted: bool) -> Disposition {
    Disposition::Bury { reason: reason.to_owned(), counted }
}

fn failed(failure: Failure) -> RunEnd {
    RunEnd::Failed(failure.into_report())
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn done_is_deleted() {
    assert_eq!(after_run(&first_attempt(), RunEnd::Done), Disposition::Commit);
}

#[test]
fn a_transient_failure_comes_back_ever_later() {
    for (failures, seconds) in [(0, 1), (1, 2), (2, 4), (18, 2700)] {
        let at = AttemptState { failed: failures, ..first_attempt() };
        assert_eq!(
            after_run(&at, failed(transient("no luck"))),
            rollback(Duration::from_secs(seconds), "no luck", true)
        );
    }
}

#[test]
fn the_last_attempt_that_fails_buries_with_its_error() {
    let at = AttemptState { failed: 19, ..first_attempt() };
    assert_eq!(after_run(&at, failed(transient("no luck"))), bury("no luck (attempt 20 of 20)", true));
    assert_eq!(after_run(&at, RunEnd::Panicked("boom".to_owned())), bury("panicked: boom (attempt 20 of 20)", true));
    let once = POLICY.max_attempts(1);
    let at = AttemptState { policy: once, ..first_attempt() };
    assert_eq!(after_run(&at, failed(transient("no luck"))), bury("no luck", true));
    assert_eq!(after_run(&at, failed(retry_after(SECOND, "no luck"))), bury("no luck", true));
}

#[test]
fn a_failure_may_say_when_to_try_again() {
    let failure = retry_after(Duration::from_secs(90), "busy");
    assert_eq!(after_run(&first_attempt(), failed(failure)), rollback(Duration::from_secs(90), "busy", true));
}

#[test]
fn a_panic_and_a_timeout_count_as_transient_failures() {
    assert_eq!(
        after_run(&first_attempt(), RunEnd::Panicked("boom".to_owned())),
        rollback(SECOND, "panicked: boom", true)
    );
    assert_eq!(
        after_run(&first_attempt(), RunEnd::TimedOut(Duration::from_secs(30))),
        rollback(SECOND, "timed out after 30s", true)
    );
}

#[test]
fn a_fatal_failure_buries_at_once() {
    assert_eq!(after_run(&first_attempt(), failed(fatal("no recipient"))), bury("no recipient", true));
}

#[test]
fn an_unreadable_message_is_buried_without_an_attempt() {
    assert_eq!(
        after_run(&first_attempt(), RunEnd::Unreadable(MessageError::NotAnObject("null"))),
        bury("expected a message with header and body, got null", false)
    );
}

#[test]
fn an_unknown_type_waits_for_a_worker_that_knows_it() {
    let grace = Duration::from_secs(600);
    let after = |seconds| {
        let at = AttemptState { left_since: Some(now() - TimeDelta::seconds(seconds)), failed: 50, ..first_attempt() };
        let unknown = RunEnd::UnknownType { request_type: "resize".to_owned(), known: "a, b".to_owned(), grace };
        after_run(&at, unknown)
    };
    let left = |seconds| Disposition::LeaveToOthers {
        delay: Duration::from_secs(seconds),
        reason: "no handler for the request type `resize` in this worker".to_owned(),
    };
    for (waited, delay) in [(-5, 1), (0, 1), (1, 1), (30, 30), (200, 60), (590, 10), (599, 1)] {
        assert_eq!(after(waited), left(delay), "{waited}");
    }
    // The first worker that gets it, however long it has waited for other reasons.
    let unknown = RunEnd::UnknownType { request_type: "resize".to_owned(), known: "a, b".to_owned(), grace };
    assert_eq!(after_run(&first_attempt(), unknown), left(1));
    let buried = bury("no handler for the request type `resize`; this worker knows: a, b", false);
    assert_eq!(after(600), buried);
    assert_eq!(after(100_000), buried);
}

#[test]
fn an_unknown_type_that_a_living_worker_serves_is_never_buried() {
    let grace = Duration::from_secs(600);
    let after = |waited, served| {
        let at = AttemptState { left_since: Some(now() - TimeDelta::seconds(waited)), served, ..first_attempt() };
        after_run(&at, RunEnd::UnknownType { request_type: "resize".to_owned(), known: "a, b".to_owned(), grace })
    };
    let left = |delay| Disposition::LeaveToOthers {
        delay: Duration::from_millis(delay),
        reason: "no handler for the request type `resize` in this worker".to_owned(),
    };
    for waited in [0, 600, 100_000] {
        assert_eq!(after(waited, Served::Now), left(100), "{waited}");
    }
    // The grace period begins when the last worker that serves it has gone.
    let until = |seconds| Served::Until(now() - TimeDelta::seconds(seconds));
    assert_eq!(after(100_000, until(0)), left(1000));
    assert_eq!(after(100_000, until(599)), left(1000));
    assert!(matches!(after(100_000, until(600)), Disposition::Bury { .. }));
    // Or when it was first left to others, if that is later.
    assert_eq!(after(30, until(100_000)), left(30_000));
}

#[test]
fn a_body_of_another_shape_waits_for_a_worker_that_can_read_it() {
    let grace = Duration::from_secs(600);
    let after = |seconds| {
        let at = AttemptState { left_since: Some(now() - TimeDelta::seconds(seconds)), failed: 50, ..first_attempt() };
        let [theirs, ours] = ["1-00000000000000aa", "1-00000000000000bb"].map(|id| id.parse().expect("an id"));
        let (error, request_types) = (MessageError::NotAnObject("null"), vec!["resize"]);
        after_run(&at, RunEnd::OtherShape { error, request_types, theirs, ours, grace })
    };
    let why = "expected a message with header and body, got null; another version of the program wrote it (the shape of \
               its body is 1-00000000000000aa, here 1-00000000000000bb), and ";
    let waits = format!("{why}it waits for a worker that can read it");
    for (waited, delay) in [(0, 1), (30, 30), (200, 60), (599, 1)] {
        let left = Disposition::LeaveToOthers { delay: Duration::from_secs(delay), reason: waits.clone() };
        assert_eq!(after(waited), left, "{waited}");
    }
    assert_eq!(after(600), bury(&format!("{why}no worker that can read it came within 10m"), false));
}

#[test]
fn a_body_of_another_shape_that_a_living_worker_reads_is_never_buried() {
    let grace = Duration::from_secs(600);
    let after = |waited, served| {
        let at = AttemptState { left_since: Some(now() - TimeDelta::seconds(waited)), served, ..first_attempt() };
        let [theirs, ours] = ["1-00000000000000aa", "1-00000000000000bb"].map(|id| id.parse().expect("an id"));
        let (error, request_types) = (MessageError::NotAnObject("null"), vec!["resize"]);
        after_run(&at, RunEnd::OtherShape { error, request_types, theirs, ours, grace })
    };
    // Its type is not left out, so it comes back each time: less often, but never too late for an idle worker.
    for (waited, seconds) in [(-5, 1), (0, 1), (4, 4), (10, 10), (600, 10), (100_000, 10)] {
        let Disposition::LeaveToOthers { delay, .. } = after(waited, Served::Now) else { panic!("{waited}") };
        assert_eq!(delay, Duration::from_secs(seconds), "{waited}");
    }
    let until = |seconds| Served::Until(now() - TimeDelta::seconds(seconds));
    assert!(matches!(after(100_000, until(599)), Disposition::LeaveToOthers { .. }));
    assert!(matches!(after(100_000, until(600)), Disposition::Bury { .. }));
}

#[test]
fn a_stop_gives_back_uncounted() {
    assert_eq!(
        after_run(&first_attempt(), RunEnd::ShutDown),
        rollback(Duration::ZERO, "its worker was shut down", false)
    );
}

#[test]
fn a_run_that_fails_after_a_stop_was_requested_is_released_uncounted() {
    // Also in the last attempt.
    let at = AttemptState { stopping: true, failed: 19, ..first_attempt() };
    let reason = |why: &str| format!("{why} (while its worker was shutting down: not counted)");
    for (ending, delay, why) in [
        (failed(transient("no luck")), Duration::ZERO, "no luck"),
        (failed(retry_after(90 * SECOND, "busy")), 90 * SECOND, "busy"),
        (RunEnd::Panicked("boom".to_owned()), Duration::ZERO, "panicked: boom"),
        (RunEnd::TimedOut(30 * SECOND), Duration::ZERO, "timed out after 30s"),
    ] {
        assert_eq!(after_run(&at, ending), rollback(delay, &reason(why), false));
    }
    // Failures that no other attempt would mend, and done jobs, keep their outcome.
    assert_eq!(after_run(&at, failed(fatal("no recipient"))), bury("no recipient", true));
    assert_eq!(after_run(&at, RunEnd::Done), Disposition::Commit);
}

#[test]
fn a_message_in_time_runs() {
    let later = Some(now() + TimeDelta::seconds(1));
    assert_eq!(before_run(&first_attempt()), None);
    assert_eq!(
        before_run(&AttemptState { delay: Some(now()), expiration: Some(now()), failed: 19, ..first_attempt() }),
        None
    );
    assert_eq!(before_run(&AttemptState { expiration: later, ..first_attempt() }), None);
}

#[test]
fn an_expired_message_is_deleted_whatever_else_it_is() {
    let at = AttemptState { expiration: Some(now() - TimeDelta::nanoseconds(1)), failed: 99, ..first_attempt() };
    assert_eq!(before_run(&at), Some(Disposition::Expire));
    assert_eq!(untimely(&at), Some(Disposition::Expire));
}

#[test]
fn a_delay_that_only_the_message_knows_is_kept() {
    let at = AttemptState { delay: Some(now() + TimeDelta::milliseconds(1500)), ..first_attempt() };
    let wanted = rollback(Duration::from_millis(1500), "its delay is not over", false);
    assert_eq!(before_run(&at), Some(wanted));
}

#[test]
fn a_job_that_kills_its_workers_is_buried() {
    let reason = |failed, lost| match before_run(&AttemptState { failed, lost, ..first_attempt() }) {
        Some(Disposition::Bury { reason, counted: false }) => reason,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason(20, 20), "its worker died 20 times (or fell silent for longer than its ttr)");
    assert_eq!(reason(20, 1), "its worker died once (or fell silent for longer than its ttr) in 20 attempts");
    // No worker died: one that rolled it back left this run to it.
    assert_eq!(before_run(&AttemptState { failed: 21, ..first_attempt() }), None);
}

#[test]
fn a_reason_is_never_longer_than_anybody_reads() {
    let Disposition::Bury { reason, .. } = after_run(&first_attempt(), failed(fatal("x".repeat(10_000_000)))) else {
        panic!("buried")
    };
    assert!(reason.len() < 5000);
}

#[test]
fn a_reason_is_never_empty() {
    for failure in [fatal(""), transient(" \n")] {
        let at = AttemptState { failed: 19, ..first_attempt() };
        let Disposition::Bury { reason, .. } = after_run(&at, failed(failure)) else { panic!("buried") };
        assert!(reason.starts_with("an error without a text"), "{reason:?}");
    }
}

#[test]
fn a_cancelled_job_is_buried_however_its_run_ended() {
    let at = AttemptState { cancelled: true, ..first_attempt() };
    let endings = [
        RunEnd::Done,
        failed(transient("no luck")),
        failed(fatal("never")),
        failed(retry_after(SECOND, "busy")),
        RunEnd::Panicked("oh".to_owned()),
        RunEnd::TimedOut(SECOND),
        RunEnd::ShutDown,
    ];
    for ending in endings {
        let shown = format!("{ending:?}");
        assert_eq!(after_run(&at, ending), bury("cancelled", false), "after {shown}");
    }
    let stopping = AttemptState { stopping: true, failed: 19, ..at.clone() };
    assert_eq!(after_run(&stopping, failed(transient("no luck"))), bury("cancelled", false));
    assert_eq!(before_run(&at), Some(bury("cancelled", false)), "it does not begin");
    assert_eq!(
        before_run(&AttemptState { expiration: Some(now() - TimeDelta::seconds(1)), ..at.clone() }),
        before_run(&at)
    );
}

#[test]
fn a_run_that_may_have_begun_counts_if_it_decides_and_every_known_run_killed_its_worker() {
    let thrice = POLICY.max_attempts(3);
    let died = |failed, maybe_begun| {
        before_run(&AttemptState { failed, lost: failed, maybe_begun, policy: thrice.clone(), ..first_attempt() })
    };
    let reason = "its worker died 3 times (or fell silent for longer than its ttr)";
    assert_eq!(died(1, true), None, "one attempt is left");
    assert_eq!(died(2, false), None);
    assert_eq!(died(2, true), Some(bury(reason, true)));
    assert_eq!(died(3, true), Some(bury(reason, false)), "all were counted");
    // No run is known to have killed its worker, so this one may be the first.
    let once = POLICY.max_attempts(1);
    assert_eq!(before_run(&AttemptState { maybe_begun: true, policy: once, ..first_attempt() }), None);
}

/// The words of the guide for a decision.
fn words(disposition: &Disposition) -> &'static str {
    match disposition {
        Disposition::Commit => "the message is deleted, or kept",
        Disposition::Expire => "deleted without a run",
        Disposition::Rollback { counted: true, .. } => "retried",
        Disposition::Rollback { counted: false, .. } => "without counting an attempt",
        Disposition::LeaveToOthers { .. } => "waits for a worker that",
        Disposition::Bury { .. } => "buried",
    }
}

#[test]
fn the_table_in_the_guide_says_what_is_decided() {
    let guide = include_str!("../../guide/failures.md");
    let (_, table) = guide.split_once("# All outcomes\n\n").expect("the section");
    let rows: Vec<_> = table.lines().take_while(|line| line.starts_with('|')).skip(2).collect();
    let unreadable = || MessageError::NotAnObject("null");
    let [theirs, ours] = ["1-00000000000000aa", "1-00000000000000bb"].map(|id| id.parse().expect("an id"));
    let (request_types, grace) = (vec!["resize"], Duration::from_secs(600));
    let other_shape = RunEnd::OtherShape { error: unreadable(), request_types, theirs, ours, grace };
    let unknown = RunEnd::UnknownType { request_type: "resize".to_owned(), known: "a".to_owned(), grace };
    let expired = AttemptState { expiration: Some(now() - TimeDelta::seconds(1)), ..first_attempt() };
    let deadly = AttemptState { failed: 20, lost: 20, ..first_attempt() };
    let cancelled = AttemptState { cancelled: true, ..first_attempt() };
    let first = |ending| after_run(&first_attempt(), ending);
    let decided = [
        ("returns `Ok`", first(RunEnd::Done)),
        ("returns an error, panics, exceeds its `timeout`", first(failed(transient("no luck")))),
        ("returns `retry_after", first(failed(retry_after(SECOND, "busy")))),
        ("returns `snooze", first(failed(crate::outcome::snooze(SECOND)))),
        ("returns `fatal", first(failed(fatal("no recipient")))),
        ("is not JSON", first(RunEnd::Unreadable(unreadable()))),
        ("does not fit the type, and another version", first(other_shape)),
        ("has a type that this worker does not know", first(unknown)),
        ("has expired", before_run(&expired).expect("a decision")),
        ("its worker dies", before_run(&deadly).expect("a decision")),
        ("is cancelled", after_run(&cancelled, RunEnd::Done)),
        ("its worker is stopped", first(RunEnd::ShutDown)),
    ];
    assert_eq!(rows.len(), decided.len(), "{rows:#?}");
    for (row, (event, disposition)) in rows.iter().zip(&decided) {
        let (left, right) = row.trim_matches('|').split_once('|').expect("two cells");
        assert!(left.trim().starts_with(event), "expected {event:?}: {row}");
        assert!(right.contains(words(disposition)), "decided {disposition:?}: {row}");
    }
}
