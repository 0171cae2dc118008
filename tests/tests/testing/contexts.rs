//! Handlers called directly as functions.

use pulpo::Message;
use pulpo::testing::TestPulpo;
use pulpo::{PublishError, State};

use crate::jobs::{Board, Order, SECOND, SendEmail, email, order};

#[test]
fn a_context_returns_what_the_test_sets() {
    let pulpo = TestPulpo::new();
    let context = pulpo.context().build();
    assert_eq!((context.id().as_str(), context.attempt(), context.max_attempts()), ("test", 1, 20));
    assert!(context.deadline().is_none() && !context.is_cancelled());

    let context = pulpo.context().id("7").attempt(2).max_attempts(3).header("source", "shop").deadline(9 * SECOND);
    let context = context.cancelled().build();
    assert_eq!((context.id().as_str(), context.attempt(), context.max_attempts()), ("7", 2, 3));
    assert_eq!(context.header().get("source").unwrap(), "shop");
    assert_eq!(context.header().attempts(), 1);
    assert!(context.is_cancelled());
    pulpo.advance(2 * SECOND);
    assert_eq!(context.deadline(), Some(7 * SECOND));
}

#[test]
fn publications_of_a_handler_go_out_with_the_commit() {
    let pulpo = TestPulpo::new().state(Board::default());
    let context = pulpo.context().build();
    order(Order { mails: vec!["ada".into()], fail: false }, &context).unwrap();
    pulpo.assert_none_published::<SendEmail>();
    pulpo.commit(context);
    pulpo.assert_published::<SendEmail>(|m| m.body().to == "ada");
    pulpo.drain();
    assert_eq!(pulpo.state_of::<Board>().lines(), ["ada attempt 1"]);
}

#[test]
fn discarded_follow_ups_do_not_go_out() {
    let pulpo = TestPulpo::new();
    let context = pulpo.context().build();
    context.publish(email("ada")).unwrap();
    context.publish(Message::new(email("eve")).delay(SECOND)).unwrap();
    context.discard_published();
    context.publish(email("bob")).unwrap();
    pulpo.commit(context);
    pulpo.assert_published::<SendEmail>(|m| m.body().to == "bob");
    assert_eq!(pulpo.queue().list(&pulpo::queue::Filter::all()).unwrap().len(), 1);
}

#[test]
fn a_bad_follow_up_is_an_error_at_once() {
    let pulpo = TestPulpo::new();
    let context = pulpo.context().build();
    let refused = context.publish(Message::new(email("x")).header("attempts", 3));
    assert!(matches!(refused, Err(PublishError::ReservedHeader { key: "attempts", .. })), "{refused:?}");
}

#[test]
fn a_state_can_be_made_by_hand() {
    let board = State::new(Board::default());
    board.write("x");
    assert_eq!(board.lines(), ["x"]);
}
