//! Running jobs: their order and their results.

use pulpo::queue::{Filter, MessageState, NewMessage};
use pulpo::testing::{Settled, TestPulpo};
use pulpo::{Config, Message, Pulpo};

use crate::jobs::{Bank, Board, Charge, Line, Order, SECOND, SendEmail, SignUp, email};

fn kit() -> TestPulpo {
    TestPulpo::new().state(Board::default())
}

#[test]
fn nothing_runs_until_the_test_runs_it() {
    let pulpo = kit();
    let sent = pulpo.publish(email("ada")).unwrap();
    assert!(pulpo.state_of::<Board>().lines().is_empty());
    let run = pulpo.run_next().unwrap();
    run.assert_done();
    assert_eq!((run.id(), run.request_type(), run.attempt()), (sent.id().unwrap(), "send_email", 1));
    assert!(run.is_of::<SendEmail>() && !run.is_of::<Order>() && run.rest().is_empty());
    assert_eq!(pulpo.state_of::<Board>().lines(), ["ada attempt 1"]);
    assert!(pulpo.run_next().is_none());
    pulpo.assert_nothing_left();
}

#[test]
fn each_test_has_a_queue_of_its_own() {
    // Many kits at the same time: each sees only its own jobs.
    std::thread::scope(|scope| {
        for number in 0..8 {
            scope.spawn(move || {
                let pulpo = kit();
                for round in 0..20 {
                    pulpo::publish(email(&format!("{number}-{round}"))).unwrap();
                }
                let all = pulpo.published::<SendEmail>();
                assert_eq!(all.len(), 20);
                assert!(all.iter().all(|m| m.body().to.starts_with(&format!("{number}-"))));
                assert_eq!(pulpo.drain().len(), 20);
                assert_eq!(pulpo.state_of::<Board>().lines().len(), 20);
            });
        }
    });
}

#[test]
fn urgent_messages_come_first() {
    let pulpo = kit();
    pulpo.publish(email("later")).unwrap();
    pulpo.publish(Message::new(email("first")).priority(1)).unwrap();
    pulpo.drain();
    assert_eq!(pulpo.state_of::<Board>().lines(), ["first attempt 1", "later attempt 1"]);
}

#[test]
fn each_end_of_a_run_is_reported() {
    let pulpo = kit();
    for (to, reason) in [("busy", "451 busy"), ("down", "connection refused"), ("panic", "panicked: out of stamps")] {
        pulpo.publish(email(to)).unwrap();
        let run = pulpo.run_next().unwrap();
        assert_eq!(run.reason(), Some(reason));
        assert!(matches!(run.settled(), Settled::PutBack { .. }) && !run.is_done());
    }
    pulpo.publish(email("")).unwrap();
    let run = pulpo.run_next().unwrap();
    run.assert_buried("no recipient");
    assert_eq!(run.to_string(), "attempt 1 of message 4 (`send_email`), which was buried: no recipient,");
    pulpo.publish(Message::new(email("late")).expiration(SECOND)).unwrap();
    pulpo.advance(2 * SECOND);
    assert_eq!(pulpo.run_next().unwrap().settled(), &Settled::Expired);
    assert!(!pulpo.state_of::<Board>().lines().contains(&"late attempt 1".to_owned()));
}

#[test]
fn follow_ups_of_a_job_run_after_it() {
    let pulpo = kit();
    pulpo.publish(Order { mails: vec!["a".into(), "b".into(), "a".into()], fail: false }).unwrap();
    pulpo.assert_none_published::<SendEmail>();
    pulpo.run_next().unwrap().assert_done();
    let mails = pulpo.published::<SendEmail>();
    assert_eq!(mails.iter().map(|m| m.body().to.as_str()).collect::<Vec<_>>(), ["a", "b", "a"]);
    let ids: Vec<_> = mails.iter().map(|m| m.id().unwrap().as_str()).collect();
    assert_eq!(ids, ["2", "3", "4"], "the queue's own");
    assert_eq!(pulpo.drain().iter().map(|run| run.id().as_str()).collect::<Vec<_>>(), ["2", "3", "4"]);
    pulpo.assert_nothing_left();
}

#[test]
fn a_failed_run_publishes_no_follow_ups() {
    let pulpo = kit();
    pulpo.publish(Order { mails: vec!["a".into()], fail: true }).unwrap();
    pulpo.drain();
    pulpo.assert_none_published::<SendEmail>();
}

#[test]
fn a_batch_is_one_run_with_all_its_messages() {
    let pulpo = kit();
    pulpo.publish_all([1, 0, 3, 4].map(Line)).unwrap();
    let run = pulpo.run_next().unwrap();
    run.assert_done();
    let [second, third] = run.rest() else { panic!("three are a batch: {run:?}") };
    second.assert_buried("no line 0");
    third.assert_done();
    // One message is left, and more may come: the batch lingers, which takes no real time.
    let before = pulpo.now();
    let run = pulpo.run_next().unwrap();
    assert!(run.is_done() && run.rest().is_empty());
    assert_eq!(pulpo.now() - before, chrono::TimeDelta::seconds(2));
    assert_eq!(pulpo.state_of::<Board>().lines(), ["3 lines", "1 lines"]);
}

#[test]
fn a_drain_lists_each_message_of_a_batch() {
    let pulpo = kit();
    pulpo.publish_all([1, 2, 3, 4, 5].map(Line)).unwrap();
    let runs = pulpo.drain();
    assert_eq!(runs.len(), 5);
    assert!(runs.iter().all(|run| run.is_done() && run.rest().is_empty()));
}

#[test]
fn a_message_without_a_handler_waits_and_is_buried() {
    let pulpo = kit();
    let text = r#"{"header": {"request_type": "from_the_future"}, "body": {}}"#;
    pulpo.queue().enqueue(vec![NewMessage::new("pulpo", "from_the_future", text)]).unwrap();
    let run = pulpo.run_next().unwrap();
    assert_eq!(run.reason(), Some("no handler for the request type `from_the_future` in this worker"));
    let runs = pulpo.work_for(600 * SECOND);
    runs.last().unwrap().assert_buried("this worker knows: both, charge, limited, line, order, plain, ");
}

#[test]
fn an_unreadable_message_is_buried() {
    let pulpo = kit();
    for (text, reason) in [
        ("{", "expected a message in JSON"),
        ("{}", "expected the name of a job in header.request_type"),
        (r#"{"header": {"request_type": "send_email"}, "body": {"to": 5}}"#, "body.to: invalid type: integer `5`"),
    ] {
        pulpo.queue().enqueue(vec![NewMessage::new("pulpo", "", text)]).unwrap();
        pulpo.run_next().unwrap().assert_buried(reason);
    }
}

#[test]
fn a_kicked_message_runs_again() {
    let pulpo = kit();
    let sent = pulpo.publish(email("")).unwrap();
    pulpo.run_next().unwrap().assert_buried("no recipient");
    assert!(pulpo.run_next().is_none());
    assert_eq!(pulpo.queue().kick(&Filter::all().id(sent.id().unwrap().clone())).unwrap(), 1);
    assert_eq!(pulpo.run_next().unwrap().attempt(), 1);
    assert_eq!(pulpo.queue().list(&Filter::all().state(MessageState::Buried)).unwrap().len(), 1);
}

#[test]
fn a_handler_publishes_to_the_test_by_whatever_way() {
    let pulpo = kit();
    pulpo.publish(SignUp { address: "ada".into() }).unwrap();
    pulpo.drain();
    pulpo.assert_done::<SendEmail>(|m| m.body().to == "ada");
}

#[test]
fn a_pulpo_can_be_given_away() {
    fn shop(pulpo: &Pulpo) {
        pulpo.publish(Order { mails: Vec::new(), fail: false }).unwrap();
    }
    let pulpo = kit();
    shop(&pulpo);
    let own = Pulpo::clone(&pulpo);
    std::thread::spawn(move || shop(&own)).join().unwrap();
    assert_eq!(pulpo.drain().iter().filter(|run| run.is_done()).count(), 2);
}

#[test]
fn only_the_states_of_running_handlers_are_needed() {
    let pulpo = TestPulpo::new();
    pulpo.publish(Order { mails: Vec::new(), fail: false }).unwrap();
    pulpo.run_next().unwrap().assert_done();
}

#[test]
#[should_panic(
    expected = "missing state `testing::jobs::Bank`, which is needed by testing::jobs::charge (tests/tests/testing/jobs.rs:"
)]
fn a_state_that_is_missing_ends_the_test() {
    let pulpo = kit();
    pulpo.publish(Charge).unwrap();
    pulpo.run_next();
}

#[test]
#[should_panic(expected = "the state `testing::jobs::Board` is given twice")]
fn a_state_that_is_given_twice_ends_the_test() {
    let _ = kit().state(Board::default());
}

/// A real worker with its threads, not the kit.
#[test]
fn a_worker_drains_a_queue_and_ends() {
    let pulpo = Pulpo::new(Config::default().queue("memory:").unwrap()).unwrap();
    pulpo.publish_all((0..20).map(|_| Order { mails: vec!["a".into(), "b".into()], fail: false })).unwrap();
    pulpo.publish(Message::new(email("later")).delay(3600 * SECOND)).unwrap();
    pulpo.publish(email("busy")).unwrap();
    let worker = pulpo.worker().unwrap().state(Board::default()).state(Bank);
    let worker = worker.state(crate::sign_up::Mailer::that_fails_once());
    let summary = worker.drain().unwrap();
    assert_eq!((summary.done, summary.retried, summary.released), (60, 1, 0));
    let left = pulpo.queue().list(&Filter::all()).unwrap();
    assert!(left.len() == 2 && left.iter().all(|message| message.state == MessageState::Delayed), "{left:?}");
}
