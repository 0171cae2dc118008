//! Jobs with a limit: the clock of a test moves to the times at which they may start.

use std::time::Duration;

use pulpo::queue::Filter;
use pulpo::testing::TestPulpo;
use pulpo::{Context, Outcome, State};
use serde::{Deserialize, Serialize};

use crate::jobs::{Board, SECOND, email};

/// Writes down when it starts.
#[derive(Serialize, Deserialize)]
struct Request {
    tenant: String,
    holds_back: bool,
}

#[pulpo::handler("request", rate = "4/10s", rate_by(tenant) = "2/15s")]
fn request(request: Request, board: State<Board>, context: &Context) -> Outcome {
    let is_first = board.lines().is_empty();
    board.write(format!("{} {}", context.now().format("%M:%S"), request.tenant));
    if request.holds_back && is_first {
        context.hold_back(60 * SECOND);
        return Err(pulpo::snooze(60 * SECOND));
    }
    Ok(())
}

fn publish(pulpo: &TestPulpo, tenants: &[&str], holds_back: bool) {
    let requests = tenants.iter().map(|tenant| Request { tenant: (*tenant).to_owned(), holds_back });
    pulpo.publish_all(requests).unwrap();
}

fn at_noon() -> TestPulpo {
    TestPulpo::new().at("2026-11-23T12:00:00Z".parse().unwrap()).state(Board::default())
}

#[track_caller]
fn assert_lines(pulpo: &TestPulpo, expected: &[&str]) {
    assert_eq!(pulpo.state_of::<Board>().lines(), expected);
}

#[test]
fn jobs_start_as_soon_as_their_rates_allow() {
    let pulpo = at_noon();
    publish(&pulpo, &["a", "a", "a", "b", "c", "c", "b"], false);
    let runs = pulpo.work_for(12 * SECOND);
    assert_eq!(runs.len(), 6);
    let first = ["00:00 a", "00:00 a", "00:00 b", "00:00 c", "00:10 c", "00:10 b"];
    assert_lines(&pulpo, &first);
    assert_eq!(pulpo.work_for(60 * SECOND).len(), 1);
    assert_lines(&pulpo, &[&first[..], &["00:15 a"]].concat());
    pulpo.assert_nothing_left();
    assert_eq!(pulpo.now().format("%M:%S").to_string(), "01:12");
}

#[test]
fn jobs_that_are_held_back_start_when_that_ends() {
    let pulpo = at_noon();
    publish(&pulpo, &["a", "a", "b"], true);
    pulpo.work_for(600 * SECOND);
    assert_lines(&pulpo, &["00:00 a", "00:00 b", "01:00 a", "01:00 a"]);
    pulpo.assert_nothing_left();
}

#[test]
fn a_paused_queue_goes_on_at_the_end_of_its_pause() {
    let pulpo = at_noon();
    publish(&pulpo, &["a"], false);
    pulpo.publish(email("later")).unwrap();
    pulpo.queue().pause("pulpo", 90 * SECOND).unwrap();
    assert!(pulpo.work_for(89 * SECOND).is_empty());
    pulpo.work_for(60 * SECOND);
    assert_lines(&pulpo, &["01:30 a", "later attempt 1"]);
}

#[test]
fn limited_jobs_are_all_done_among_faults() {
    for seed in 0..60 {
        let pulpo = TestPulpo::faults(seed).state(Board::default());
        publish(&pulpo, &["a", "a", "b"], true);
        pulpo.publish(email("ada")).unwrap();
        pulpo.work_for(Duration::from_secs(24 * 3600));
        pulpo.assert_nothing_left();
        assert!(pulpo.state_of::<Board>().lines().len() >= 4);
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {}

#[pulpo::handler("unique_and_fatal", unique)]
fn kept(_: Kept, board: State<Board>) -> Outcome {
    board.write("runs");
    if board.lines().len() == 1 { Err(pulpo::fatal("at first")) } else { Err(pulpo::snooze(SECOND)) }
}

/// The queue with faults answers as the queue itself does.
#[test]
fn a_buried_job_whose_key_is_taken_names_the_other_among_faults() {
    let pulpo = TestPulpo::faults(1).state(Board::default());
    let first = pulpo.publish(Kept {}).unwrap();
    pulpo.work_for(60 * SECOND);
    pulpo.assert_buried::<Kept>("at first");
    let second = pulpo.publish(Kept {}).unwrap();
    assert_ne!(first.id(), second.id());
    assert_eq!(pulpo.queue().kick(&Filter::all()).unwrap(), 0);
    assert_eq!(pulpo.queue().key_taken_by(first.id().unwrap()).unwrap().as_ref(), second.id());
}
