//! Async handlers in plain and in async tests.

use std::time::Duration;

use pulpo::testing::TestPulpo;

use crate::jobs::{Board, SECOND, SendEmail, Sleep, email};

#[test]
fn an_async_handler_in_a_plain_test() {
    let pulpo = TestPulpo::new();
    pulpo.publish(Sleep { seconds: 0 }).unwrap();
    pulpo.run_next().unwrap().assert_done();
}

#[tokio::test]
async fn both_ways_in_an_async_test() {
    let pulpo = TestPulpo::new();
    for _ in 0..3 {
        pulpo.publish_async(Sleep { seconds: 0 }).await.unwrap();
    }
    pulpo.run_next().unwrap().assert_done();
    pulpo.run_next_async().await.unwrap().assert_done();
    assert_eq!(pulpo.drain_async().await.len(), 1);
    assert!(pulpo.run_next_async().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_on_a_runtime_of_threads() {
    let pulpo = TestPulpo::new();
    for _ in 0..2 {
        pulpo.publish(Sleep { seconds: 0 }).unwrap();
    }
    pulpo.run_next().unwrap().assert_done();
    pulpo.run_next_async().await.unwrap().assert_done();
}

#[tokio::test(start_paused = true)]
async fn the_timers_of_a_handler_are_those_of_the_test() {
    let pulpo = TestPulpo::new();
    pulpo.publish(Sleep { seconds: 86_400 }).unwrap();
    let before = tokio::time::Instant::now();
    pulpo.run_next_async().await.unwrap().assert_done();
    assert!(before.elapsed() >= Duration::from_secs(86_400));
}

#[tokio::test]
async fn the_runtime_goes_on_while_jobs_run() {
    let pulpo = TestPulpo::new().state(Board::default());
    pulpo.publish(email("down")).unwrap();
    let (runs, ()) = tokio::join!(pulpo.work_for_async(60 * SECOND), tokio::task::yield_now());
    assert_eq!(runs.len(), 3);
    pulpo.assert_buried::<SendEmail>("attempt 3 of 3");
}

#[tokio::test]
#[should_panic(expected = "missing state `testing::jobs::Board`")]
async fn a_panic_of_a_run_is_one_of_the_test() {
    let pulpo = TestPulpo::new();
    pulpo.publish(email("x")).unwrap();
    pulpo.run_next_async().await;
}
