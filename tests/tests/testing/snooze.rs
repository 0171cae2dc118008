//! Jobs that wait without an attempt: snoozed by their handlers, or held back with others like them.

use std::time::Duration;

use pulpo::testing::TestPulpo;
use pulpo::{Context, Outcome, State};
use serde::{Deserialize, Serialize};

use crate::jobs::{Board, SECOND, SendEmail, email};

/// Asks a remote service, which is not ready at first.
#[derive(Serialize, Deserialize)]
struct Poll {
    snoozes: usize,
    fails: bool,
}

#[pulpo::handler("poll", max_attempts = 2, backoff = "10s")]
fn poll(poll: Poll, board: State<Board>, context: &Context) -> Outcome {
    board.write(format!("attempt {}", context.attempt()));
    if board.lines().len() <= poll.snoozes {
        return Err(pulpo::snooze(60 * SECOND));
    }
    if poll.fails { Err("refused".into()) } else { Ok(()) }
}

fn kit() -> TestPulpo {
    TestPulpo::new().state(Board::default())
}

#[test]
fn a_job_may_be_snoozed_more_often_than_it_has_attempts() {
    let pulpo = kit();
    pulpo.publish(Poll { snoozes: 5, fails: false }).unwrap();
    for _ in 0..5 {
        let run = pulpo.run_next().unwrap();
        assert_eq!(run.attempt(), 1);
        pulpo.assert_snoozed::<Poll>(60 * SECOND);
        assert!(pulpo.run_next().is_none(), "it waits");
        pulpo.advance(60 * SECOND);
    }
    let run = pulpo.run_next().unwrap();
    assert_eq!(run.attempt(), 1);
    run.assert_done();
    pulpo.assert_nothing_left();
}

#[test]
fn snoozes_use_up_no_attempt_of_a_job_that_fails_later() {
    let pulpo = kit();
    pulpo.publish(Poll { snoozes: 3, fails: true }).unwrap();
    let runs = pulpo.work_for(600 * SECOND);
    assert_eq!(runs.iter().map(pulpo::testing::Run::attempt).collect::<Vec<_>>(), [1, 1, 1, 1, 2]);
    pulpo.assert_buried::<Poll>("refused (attempt 2 of 2)");
}

#[test]
#[should_panic(expected = "to be snoozed for")]
fn a_retried_run_is_not_a_snooze() {
    let pulpo = kit();
    pulpo.publish(email("down")).unwrap();
    pulpo.run_next().unwrap().assert_retried_after(10 * SECOND..=15 * SECOND);
    pulpo.assert_snoozed::<SendEmail>(10 * SECOND..=15 * SECOND);
}

#[test]
#[should_panic(expected = "to be snoozed for")]
fn a_snooze_of_another_time_is_distinguished() {
    let pulpo = kit();
    pulpo.publish(Poll { snoozes: 1, fails: false }).unwrap();
    pulpo.drain();
    pulpo.assert_snoozed::<Poll>(61 * SECOND);
}

/// One job of each account waits.
#[derive(Serialize, Deserialize)]
struct Recalculate {
    account: u32,
}

#[pulpo::handler("recalculate", unique(account))]
fn recalculate(_: Recalculate) {}

#[test]
#[should_panic(expected = "expected a duplicate of `recalculate` that matches")]
fn a_first_publication_is_not_a_duplicate() {
    let pulpo = kit();
    pulpo.publish(Recalculate { account: 1 }).unwrap();
    pulpo.publish(Recalculate { account: 2 }).unwrap();
    pulpo.assert_duplicate::<Recalculate>(|_| true);
}

#[test]
#[should_panic(expected = "expected a duplicate of `recalculate` that matches")]
fn a_duplicate_of_another_key_does_not_fit() {
    let pulpo = kit();
    for account in [1, 2, 2] {
        pulpo.publish(Recalculate { account }).unwrap();
    }
    pulpo.assert_duplicate::<Recalculate>(|message| message.body().account == 2);
    pulpo.assert_duplicate::<Recalculate>(|message| message.body().account == 1);
}

/// A call, which may hold back others for these times.
#[derive(Clone, Serialize, Deserialize)]
struct Call {
    tenant: String,
    name: String,
    holds: Vec<Duration>,
}

impl Call {
    fn new(tenant: &str, name: &str, seconds: &[u64]) -> Self {
        let holds = seconds.iter().copied().map(Duration::from_secs).collect();
        Self { tenant: tenant.to_owned(), name: name.to_owned(), holds }
    }

    fn run(&self, board: &Board, context: &Context) {
        board.write(&*self.name);
        self.holds.iter().for_each(|time| context.hold_back(*time));
    }
}

#[derive(Serialize, Deserialize)]
struct Rated(Call);

#[pulpo::handler("rated", rate_by(0.tenant) = "1000/1s")]
fn rated(Rated(call): Rated, board: State<Board>, context: &Context) {
    call.run(&board, context);
}

#[derive(Serialize, Deserialize)]
struct Limited(Call);

#[pulpo::handler("limited", limit_by(0.tenant) = 10)]
fn limited(Limited(call): Limited, board: State<Board>, context: &Context) {
    call.run(&board, context);
}

/// Its key is that of the rate.
#[derive(Serialize, Deserialize)]
struct Both(Call);

#[pulpo::handler("both", rate_by(0.tenant) = "1000/1s", limit_by(0.name) = 10)]
fn both(Both(call): Both, board: State<Board>, context: &Context) {
    call.run(&board, context);
}

#[derive(Serialize, Deserialize)]
struct Plain(Call);

#[pulpo::handler("plain", alias = "plain_before")]
fn plain(Plain(call): Plain, board: State<Board>, context: &Context) {
    call.run(&board, context);
}

/// Publishes two calls of a tenant, of which the first holds back others, and one of another.
fn hold_back<J: pulpo::Job>(seconds: &[u64], job: fn(Call) -> J) -> TestPulpo {
    let pulpo = kit();
    for call in [Call::new("a", "a 1", seconds), Call::new("a", "a 2", &[]), Call::new("b", "b 1", &[])] {
        pulpo.publish(job(call)).unwrap();
    }
    pulpo.publish(email("other")).unwrap();
    pulpo.drain();
    pulpo
}

fn lines(pulpo: &TestPulpo) -> Vec<String> {
    pulpo.state_of::<Board>().lines()
}

#[test]
fn the_jobs_with_the_same_key_are_held_back() {
    for pulpo in [hold_back(&[60], Rated), hold_back(&[60], Limited), hold_back(&[60], Both)] {
        assert_eq!(lines(&pulpo), ["a 1", "b 1", "other attempt 1"]);
        pulpo.advance(59 * SECOND);
        assert!(pulpo.drain().is_empty());
        pulpo.advance(2 * SECOND);
        pulpo.drain();
        assert_eq!(lines(&pulpo)[3..], ["a 2"]);
    }
}

#[test]
fn all_jobs_of_a_handler_without_keys_are_held_back_under_each_of_its_names() {
    let pulpo = hold_back(&[60], Plain);
    assert_eq!(lines(&pulpo), ["a 1", "other attempt 1"]);
    let before = r#"{"header": {"request_type": "plain_before"}, "body": {"tenant": "c", "name": "c 1", "holds": []}}"#;
    pulpo.queue().enqueue(vec![pulpo::queue::NewMessage::new("pulpo", "plain_before", before)]).unwrap();
    assert!(pulpo.drain().is_empty());
    pulpo.advance(61 * SECOND);
    pulpo.drain();
    assert_eq!(lines(&pulpo)[2..], ["a 2", "b 1", "c 1"]);
}

#[test]
fn a_later_call_replaces_an_earlier_one_and_zero_ends_it() {
    for (seconds, wait) in [(&[3600, 60][..], 61), (&[60, 3600, 0][..], 0)] {
        for pulpo in [hold_back(seconds, Rated), hold_back(seconds, Plain)] {
            pulpo.advance(Duration::from_secs(wait));
            pulpo.drain();
            let mut all = lines(&pulpo);
            all.sort();
            assert_eq!(all, ["a 1", "a 2", "b 1", "other attempt 1"]);
        }
    }
}
