//! Inline mode: publishing runs the handler at once.

use pulpo::testing::TestPulpo;
use pulpo::{Message, OnDuplicate, Publication, UniqueFor};

use crate::jobs::{Board, Order, SECOND, SendEmail, SignUp, email};

fn kit() -> TestPulpo {
    TestPulpo::new().state(Board::default()).inline()
}

#[test]
fn a_job_is_done_when_it_is_published() {
    let pulpo = kit();
    pulpo::publish(email("ada")).unwrap();
    assert_eq!(pulpo.state_of::<Board>().lines(), ["ada attempt 1"]);
    pulpo.publish_all(["b", "c"].map(email)).unwrap();
    assert_eq!(pulpo.state_of::<Board>().lines(), ["ada attempt 1", "b attempt 1", "c attempt 1"]);
    pulpo.assert_nothing_left();
}

#[test]
fn follow_ups_run_inline_too() {
    let pulpo = kit();
    pulpo.publish(Order { mails: vec!["follow".into()], fail: false }).unwrap();
    pulpo.publish(SignUp { address: "by the default".into() }).unwrap();
    assert_eq!(pulpo.state_of::<Board>().lines(), ["follow attempt 1", "by the default attempt 1"]);
}

#[test]
fn a_job_that_fails_inline_is_still_published() {
    let pulpo = kit();
    pulpo::publish(email("down")).unwrap();
    pulpo.assert_retried_after::<SendEmail>(10 * SECOND..=15 * SECOND);
    // The test runs the rest of its life.
    assert_eq!(pulpo.work_for(60 * SECOND).len(), 2);
    pulpo.assert_buried::<SendEmail>("attempt 3 of 3");
}

#[test]
fn one_for_later_waits() {
    let pulpo = kit();
    pulpo::publish(Message::new(email("later")).delay(SECOND)).unwrap();
    assert!(pulpo.state_of::<Board>().lines().is_empty());
    pulpo.advance(SECOND);
    pulpo.drain();
    pulpo.assert_done::<SendEmail>(|_| true);
}

#[tokio::test]
async fn in_an_async_test_too() {
    let pulpo = kit();
    pulpo::publish(email("plain")).unwrap();
    pulpo::publish_async(email("async")).await.unwrap();
    assert_eq!(pulpo.state_of::<Board>().lines(), ["plain attempt 1", "async attempt 1"]);
}

#[test]
fn one_that_is_unique_is_run_once_for_each_key_that_is_taken() {
    let pulpo = kit();
    // The job is done at once, so its key is free again.
    for _ in 0..2 {
        let sent = pulpo.publish(Message::new(email("ada")).unique_key("a")).unwrap();
        assert_eq!(sent.publication(), Publication::New);
    }
    let timed = || Message::new(email("bob")).unique_key("b").unique_for(UniqueFor::Time(SECOND));
    let publications = [timed(), timed()].map(|message| pulpo.publish(message).unwrap().publication());
    assert_eq!(publications, [Publication::New, Publication::Kept]);
    assert_eq!(pulpo.state_of::<Board>().lines(), ["ada attempt 1", "ada attempt 1", "bob attempt 1"]);
    // A failed job waits with its key, and is replaced while it waits.
    let waits = |to: &str| {
        let message = Message::new(email(to)).unique_key("c").unique_for(UniqueFor::Waiting);
        pulpo.publish(message.on_duplicate(OnDuplicate::Replace)).unwrap().publication()
    };
    assert_eq!([waits("down"), waits("eve")], [Publication::New, Publication::Replaced]);
    assert_eq!(pulpo.state_of::<Board>().lines().last().map(String::as_str), Some("eve attempt 1"));
    pulpo.assert_nothing_left();
}
