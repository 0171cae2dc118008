use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::clock::ManualClock;
use crate::sync::lock;

const PATIENCE: Duration = Duration::from_secs(30);

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// A question that is answered when the test decides.
struct ByHand {
    question: Question<u32>,
    answer: Sender<Result<u32, String>>,
    asked: Arc<AtomicUsize>,
    clock: ManualClock,
}

impl ByHand {
    fn new() -> Self {
        let (answer, answers) = channel();
        let (answers, asked): (Mutex<Receiver<_>>, Arc<AtomicUsize>) = (Mutex::new(answers), Arc::default());
        let (count, clock) = (asked.clone(), ManualClock::at("2026-11-23T09:00:00Z".parse().unwrap()));
        let question = Question::with_clock("question", Arc::new(clock.clone()), move || {
            count.fetch_add(1, Ordering::SeqCst);
            lock(&answers).recv().unwrap()
        });
        Self { question, answer, asked, clock }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[test]
fn all_who_ask_at_once_share_one_answer() {
    let by_hand = ByHand::new();
    let (first, second) = (by_hand.question.ask(PATIENCE), by_hand.question.ask(PATIENCE));
    by_hand.answer.send(Ok(7)).unwrap();
    runtime().block_on(async {
        assert_eq!(first.await, Reply::Answered(Ok(7)));
        assert_eq!(second.await, Reply::Answered(Ok(7)));
    });
    assert_eq!(by_hand.asked(), 1);
}

#[test]
fn one_that_is_not_answered_is_late_and_is_not_asked_twice() {
    let by_hand = ByHand::new();
    runtime().block_on(async {
        assert_eq!(by_hand.question.ask(Duration::from_millis(5)).await, Reply::Late { answered: None });
        by_hand.clock.advance(PATIENCE);
        // The patience is used up: no caller waits for it again.
        assert_eq!(by_hand.question.ask(PATIENCE).await, Reply::Late { answered: None });
        by_hand.answer.send(Ok(1)).unwrap();
        let asking = by_hand.question.ask(2 * PATIENCE);
        assert_eq!(asking.await, Reply::Answered(Ok(1)));
    });
    assert_eq!(by_hand.asked(), 1);
}

#[test]
fn one_that_is_late_says_how_old_the_last_answer_is() {
    let by_hand = ByHand::new();
    runtime().block_on(async {
        by_hand.answer.send(Ok(1)).unwrap();
        assert_eq!(by_hand.question.ask(PATIENCE).await, Reply::Answered(Ok(1)));
        by_hand.clock.advance(Duration::from_secs(14));
        let late = Reply::Late { answered: Some(Duration::from_secs(14)) };
        assert_eq!(by_hand.question.ask(Duration::from_millis(5)).await, late);
    });
    by_hand.answer.send(Ok(2)).unwrap();
}

#[test]
fn an_answer_that_took_long_serves_again_for_that_time() {
    let by_hand = ByHand::new();
    runtime().block_on(async {
        let asking = by_hand.question.ask(PATIENCE);
        by_hand.clock.advance(Duration::from_secs(10));
        by_hand.answer.send(Ok(1)).unwrap();
        assert_eq!(asking.await, Reply::Answered(Ok(1)));
        by_hand.clock.advance(Duration::from_secs(9));
        assert_eq!(by_hand.question.ask(PATIENCE).await, Reply::Answered(Ok(1)));
        assert_eq!(by_hand.asked(), 1);
        by_hand.clock.advance(Duration::from_secs(1));
        by_hand.answer.send(Ok(2)).unwrap();
        assert_eq!(by_hand.question.ask(PATIENCE).await, Reply::Answered(Ok(2)));
    });
}

#[test]
fn a_quick_answer_serves_once() {
    let by_hand = ByHand::new();
    runtime().block_on(async {
        for answer in 1..4 {
            by_hand.answer.send(Ok(answer)).unwrap();
            assert_eq!(by_hand.question.ask(PATIENCE).await, Reply::Answered(Ok(answer)));
        }
    });
    assert_eq!(by_hand.asked(), 3);
}

#[test]
fn a_panic_in_the_code_that_is_asked_is_an_error_and_it_is_asked_again() {
    let asked = AtomicUsize::new(0);
    let question = Question::new("question", move || {
        assert!(asked.fetch_add(1, Ordering::SeqCst) > 0, "no answer");
        Ok(5)
    });
    runtime().block_on(async {
        assert_eq!(question.ask(PATIENCE).await, Reply::Answered(Err("a panic: no answer".to_owned())));
        let again = loop {
            match question.ask(PATIENCE).await {
                Reply::Answered(Err(_)) => {}
                other => break other,
            }
        };
        assert_eq!(again, Reply::Answered(Ok(5)));
    });
}
