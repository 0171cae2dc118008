//! Time travel: delays, retries, expirations.

use chrono::{DateTime, TimeDelta, Utc};
use pulpo::Message;
use pulpo::testing::TestPulpo;

use crate::jobs::{Board, SECOND, SendEmail, Tick, email};

fn kit() -> TestPulpo {
    TestPulpo::new().state(Board::default())
}

#[test]
fn a_delayed_job_runs_when_it_is_due() {
    let pulpo = kit();
    pulpo.publish(Message::new(email("later")).delay(3600 * SECOND)).unwrap();
    pulpo.advance(3599 * SECOND);
    assert!(pulpo.run_next().is_none());
    pulpo.advance(SECOND);
    pulpo.run_next().unwrap().assert_done();
}

#[test]
fn a_job_that_fails_comes_back_later_each_time() {
    let pulpo = kit();
    pulpo.publish(email("down")).unwrap();
    let run = pulpo.run_next().unwrap();
    run.assert_retried_after(10 * SECOND..=15 * SECOND);
    pulpo.assert_retried_after::<SendEmail>(10 * SECOND..=15 * SECOND);
    assert!(pulpo.drain().is_empty());

    pulpo.advance(15 * SECOND);
    let run = pulpo.run_next().unwrap();
    assert_eq!(run.attempt(), 2);
    run.assert_retried_after(20 * SECOND..=30 * SECOND);

    pulpo.advance(30 * SECOND);
    let run = pulpo.run_next().unwrap();
    run.assert_buried("connection refused (attempt 3 of 3)");
    pulpo.assert_buried::<SendEmail>("connection refused");
}

#[test]
fn a_time_that_the_handler_says_is_exact() {
    let pulpo = kit();
    pulpo.publish(email("busy")).unwrap();
    pulpo.drain();
    pulpo.assert_retried_after::<SendEmail>(90 * SECOND);
}

#[test]
fn a_while_is_lived_through_run_by_run() {
    let pulpo = kit();
    pulpo.publish(email("down")).unwrap();
    let before = pulpo.now();
    let runs = pulpo.work_for(60 * SECOND);
    assert_eq!(runs.iter().map(pulpo::testing::Run::attempt).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(pulpo.now() - before, TimeDelta::seconds(60));
}

#[test]
fn a_job_that_goes_on_for_ever_runs_as_often_as_it_is_due() {
    let pulpo = kit();
    pulpo.publish(Tick).unwrap();
    assert_eq!(pulpo.drain().len(), 1);
    assert_eq!(pulpo.work_for(24 * 3600 * SECOND).len(), 24);
    assert_eq!(pulpo.published::<Tick>().len(), 26);
}

#[test]
fn the_test_sets_the_time() {
    let now: DateTime<Utc> = "2024-02-29T23:59:59Z".parse().unwrap();
    let pulpo = kit().at(now);
    let sent = pulpo.publish(Message::new(email("x")).delay(SECOND).expiration(2 * SECOND)).unwrap();
    assert_eq!(sent.headers().delay(), Some(now + TimeDelta::seconds(1)));
    assert_eq!(pulpo.now(), now);
    pulpo.advance(2 * SECOND);
    pulpo.run_next().unwrap().assert_done();
}
