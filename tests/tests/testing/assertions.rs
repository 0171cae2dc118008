//! The messages of failed assertions.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pulpo::Message;
use pulpo::testing::TestPulpo;

use crate::jobs::{Board, Order, SECOND, SendEmail, email};

/// Returns the message of the panic.
fn failure(assertion: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(assertion)).expect_err("it fails");
    panic.downcast_ref::<String>().expect("a text").clone()
}

/// Returns a kit with one message in each state.
fn kit() -> TestPulpo {
    let pulpo = TestPulpo::new().state(Board::default());
    for to in ["done", "", "busy"] {
        pulpo.publish(email(to)).unwrap();
    }
    pulpo.drain();
    pulpo.publish(email("waits")).unwrap();
    pulpo.publish(Message::new(email("later")).delay(60 * SECOND)).unwrap();
    pulpo
}

const ALL: &str = r#"these:
  1 `send_email` {"to":"done"} (done)
  2 `send_email` {"to":""} (buried: no recipient)
  3 `send_email` {"to":"busy"} (due again in 1m 30s: 451 busy)
  4 `send_email` {"to":"waits"} (ready)
  5 `send_email` {"to":"later"} (delayed, due in 1m)"#;

#[test]
fn a_failed_assertion_lists_the_other_publications() {
    let pulpo = kit();
    let found = pulpo.assert_published::<SendEmail>(|m| m.body().to == "waits");
    assert_eq!(found.id().unwrap(), &"4");
    for (failure, expected) in [
        (
            failure(|| drop(pulpo.assert_published::<SendEmail>(|m| m.body().to == "ada"))),
            "a published `send_email` that matches",
        ),
        (failure(|| drop(pulpo.assert_published::<Order>(|_| true))), "a published `order` that matches"),
        (failure(|| pulpo.assert_none_published::<SendEmail>()), "no published `send_email`"),
        (failure(|| pulpo.assert_done::<SendEmail>(|m| m.body().to == "waits")), "a done `send_email` that matches"),
        (failure(|| pulpo.assert_buried::<SendEmail>("no stamp")), "a buried `send_email` with \"no stamp\""),
        (failure(|| pulpo.assert_nothing_left()), "an empty queue"),
    ] {
        assert_eq!(failure, format!("expected {expected}, got {ALL}"));
    }
    pulpo.assert_none_published::<Order>();
    pulpo.assert_done::<SendEmail>(|m| m.body().to == "done");
    pulpo.assert_buried::<SendEmail>("recipient");
}

#[test]
fn a_failed_assertion_names_the_outcome_of_the_run() {
    let pulpo = kit();
    let run = "attempt 1 of message 4 (`send_email`), which was done,";
    assert_eq!(
        failure(|| pulpo.assert_retried_after::<Order>(SECOND)),
        format!("expected `order` to be tried again after 1s, but none has run; got {ALL}")
    );
    let done = pulpo.run_next().unwrap();
    assert_eq!(failure(|| done.assert_buried("x")), format!("expected {run} to be buried with \"x\""));
    assert_eq!(
        failure(|| pulpo.assert_retried_after::<SendEmail>(SECOND..=2 * SECOND)),
        format!("expected {run} to be tried again after 1s to 2s")
    );
    pulpo.advance(90 * SECOND);
    let again = pulpo.run_next().unwrap();
    assert_eq!(
        failure(|| again.assert_done()),
        "expected attempt 2 of message 3 (`send_email`), which was put back for 1m 30s: 451 busy, to be done"
    );
}

#[test]
fn an_assertion_says_that_nothing_was_published() {
    let pulpo = TestPulpo::new();
    let said = failure(|| drop(pulpo.assert_published::<SendEmail>(|_| true)));
    assert_eq!(said, "expected a published `send_email` that matches, got nothing: no message was published");
}
