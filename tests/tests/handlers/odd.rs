//! Odd user code: errors that fail to display, values that panic when dropped, endless texts. The
//! outcome is the one that the handler returned, and other jobs do not notice.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use pulpo::queue::{MessageState, NewMessage};
use pulpo::worker::WorkerOptions;
use pulpo::{Context, MessageId, Outcome, ResultExt as _, State};
use pulpo_tests::wait::until;
use serde::{Deserialize, Serialize};

use crate::board::Board;
use crate::stage::{SECOND, Stage, on, on_each, reason};

const UNSHOWABLE: &str = "an error whose text cannot be shown";

/// The behaviour of an error when it is displayed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Shows {
    Text,
    Refuses,
    Panics,
    ForEver,
    ForEverDeaf,
    Waits,
}

/// An error that is odd in every other way too: it panics when dropped.
struct OddError {
    shows: Shows,
    board: Board,
}

impl fmt::Display for OddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shows {
            Shows::Text => f.write_str("odd"),
            Shows::Refuses => Err(fmt::Error),
            Shows::Panics => panic!("in Display"),
            Shows::ForEver => loop {
                f.write_str("and on ")?;
            },
            Shows::ForEverDeaf => loop {
                let _ = f.write_str("and on ");
            },
            Shows::Waits => {
                self.board.write("shows itself");
                self.board.wait("show");
                f.write_str("odd, late")
            }
        }
    }
}

impl fmt::Debug for OddError {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("in Debug")
    }
}

impl Error for OddError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self)
    }
}

impl Drop for OddError {
    fn drop(&mut self) {
        panic!("in Drop");
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum How {
    Transient,
    Fatal,
    RetryAfter,
    RetryNever,
    Fine,
}

#[derive(Serialize, Deserialize)]
struct Odd {
    shows: Shows,
    how: How,
}

fn odd_outcome(odd: &Odd, board: &Board) -> Outcome {
    let error = || OddError { shows: odd.shows, board: board.clone() };
    match odd.how {
        How::Transient => Err(error())?,
        How::Fatal => Err(error()).fatal()?,
        How::RetryAfter => Err(error()).retry_after(90 * SECOND)?,
        How::RetryNever => Err(error()).retry_after(Duration::MAX)?,
        How::Fine => {}
    }
    Ok(())
}

#[pulpo::handler("odd", max_attempts = 5, backoff = "10s", timeout = "1h")]
fn odd(odd: Odd, board: State<Board>) -> Outcome {
    board.write(format!("{:?}", odd.how));
    odd_outcome(&odd, &board)
}

#[derive(Serialize, Deserialize)]
struct OddLine(Odd);

#[pulpo::handler("odd_line", batch = 10, max_attempts = 5, backoff = "10s")]
fn odd_lines(lines: Vec<OddLine>, board: State<Board>) -> Vec<Outcome> {
    board.write(format!("{} lines", lines.len()));
    lines.iter().map(|line| odd_outcome(&line.0, &board)).collect()
}

/// A panic whose payload panics when dropped.
#[derive(Serialize, Deserialize)]
struct OddPanic;

struct Payload;

impl Drop for Payload {
    fn drop(&mut self) {
        std::panic::panic_any(Payload);
    }
}

#[pulpo::handler("odd_panic", backoff = "10s")]
fn odd_panic(_: OddPanic) {
    std::panic::panic_any(Payload);
}

/// A body that panics while it is deserialized.
#[derive(Serialize)]
struct OddBody(String);

impl<'de> Deserialize<'de> for OddBody {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        assert_ne!(text, "panic", "in Deserialize");
        Ok(Self(text))
    }
}

#[pulpo::handler("odd_body", batch = 10, backoff = "10s")]
fn odd_bodies(bodies: Vec<OddBody>, board: State<Board>) {
    let texts: Vec<_> = bodies.iter().map(|body| &*body.0).collect();
    board.write(texts.join(" "));
}

/// Spawns a task when dropped, as guards of async code do, and then panics.
struct Farewell(Board);

impl Drop for Farewell {
    fn drop(&mut self) {
        let board = self.0.clone();
        tokio::spawn(async move { board.write("farewell") });
        self.0.write("dropped");
        panic!("in Drop of the future");
    }
}

#[derive(Serialize, Deserialize)]
struct OddFuture;

#[pulpo::handler("odd_future", timeout = "30s", backoff = "10s")]
async fn odd_future(_: OddFuture, board: State<Board>) {
    board.write("hangs");
    let _farewell = Farewell((*board).clone());
    std::future::pending().await
}

/// A return value that panics when it is converted.
#[derive(Serialize, Deserialize)]
struct OddReturn;

struct Returned;

impl pulpo::IntoOutcome for Returned {
    fn into_outcome(self) -> Outcome {
        panic!("in IntoOutcome")
    }
}

#[pulpo::handler("odd_return", backoff = "10s")]
fn odd_return(_: OddReturn) -> Returned {
    Returned
}

/// Publishes, and changes its mind.
#[derive(Serialize, Deserialize)]
struct Reconsider;

#[pulpo::handler("reconsider")]
fn reconsider(_: Reconsider, context: &Context) -> Outcome {
    context.publish(OddReturn)?;
    context.publish(OddReturn)?;
    context.discard_published();
    context.publish(OddPanic)?;
    Ok(())
}

impl Stage {
    fn odd(&self, shows: Shows, how: How) -> MessageId {
        self.publish(Odd { shows, how })
    }
}

#[test]
fn the_outcome_is_what_the_handler_returned_whatever_its_error_does() {
    on_each(|stage| {
        let shows = [Shows::Text, Shows::Refuses, Shows::Panics, Shows::ForEver, Shows::ForEverDeaf];
        let working = stage.work();
        for shows in shows {
            let transient = stage.once(&stage.odd(shows, How::Transient), MessageState::Delayed);
            let fatal = stage.once(&stage.odd(shows, How::Fatal), MessageState::Buried);
            let later = stage.once(&stage.odd(shows, How::RetryAfter), MessageState::Delayed);
            assert_eq!(later.until.expect("a time") - now(&stage), chrono::TimeDelta::seconds(90));
            for message in [transient, fatal, later] {
                let text = reason(&message);
                match shows {
                    Shows::Text => assert_eq!(text, "odd"),
                    Shows::Refuses | Shows::Panics => assert_eq!(text, UNSHOWABLE),
                    _ => assert!(text.starts_with("and on and on ") && text.len() < 4200, "{text}"),
                }
                assert_eq!((message.attempts, message.abandoned), (1, 0), "{shows:?}");
            }
        }
        assert_eq!(stage.board.lines().len(), 3 * shows.len(), "each ran once: {:?}", stage.board.lines());
        assert_eq!(working.stop().buried, 5);
    });
}

fn now(stage: &Stage) -> chrono::DateTime<chrono::Utc> {
    pulpo::clock::Clock::now(&stage.clock)
}

#[test]
fn an_odd_error_in_a_batch_leaves_its_neighbours_alone() {
    on_each(|stage| {
        let line = |shows, how| stage.publish(OddLine(Odd { shows, how }));
        let fine = [line(Shows::Text, How::Fine), line(Shows::Text, How::Fine)];
        let transient = line(Shows::Panics, How::Transient);
        let fatal = line(Shows::Refuses, How::Fatal);
        let last = line(Shows::Text, How::Fine);
        let working = stage.work();
        assert_eq!(reason(&stage.once(&transient, MessageState::Delayed)), UNSHOWABLE);
        assert_eq!(reason(&stage.once(&fatal, MessageState::Buried)), UNSHOWABLE);
        until("the others are done", || fine.iter().chain([&last]).all(|id| stage.peek(id).is_none()));
        let summary = working.stop();
        assert_eq!((summary.done, summary.retried, summary.buried), (3, 1, 1));
        assert_eq!(stage.board.lines(), ["5 lines"]);
    });
}

#[test]
fn a_panic_is_one_failed_attempt_whatever_it_carries() {
    on_each(|stage| {
        let panicking = stage.publish(OddPanic);
        let returning = stage.publish(OddReturn);
        let working = stage.work();
        let message = stage.once(&panicking, MessageState::Delayed);
        assert_eq!(reason(&message), "panicked: with something that is not text");
        assert_eq!((message.attempts, message.abandoned), (1, 0));
        assert_eq!(reason(&stage.once(&returning, MessageState::Delayed)), "panicked: in IntoOutcome");
        assert_eq!(working.stop().retried, 2);
    });
}

#[test]
fn a_body_that_panics_while_it_is_read_leaves_the_others_of_its_batch_alone() {
    on_each(|stage| {
        let text = |text: &str| format!(r#"{{"header":{{"request_type":"odd_body"}},"body":{{"payload":"{text}"}}}}"#);
        let all = ["a", "panic", "b"].map(|name| NewMessage::new("pulpo", "odd_body", text(name)));
        let enqueued = stage.queue.enqueue(all.into()).expect("published");
        let ids: Vec<_> = enqueued.into_iter().map(|one| one.id).collect();
        let working = stage.work();
        let message = stage.once(&ids[1], MessageState::Delayed);
        assert!(reason(&message).starts_with("panicked: ") && reason(&message).contains("in Deserialize"));
        stage.once_told("a b");
        until("the others are done", || stage.peek(&ids[0]).is_none() && stage.peek(&ids[2]).is_none());
        working.stop();
    });
}

#[test]
fn the_text_of_an_error_is_made_within_the_run_and_delays_no_other_job() {
    on("disk", 2, &|stage| {
        let slow = stage.odd(Shows::Waits, How::Transient);
        let working = stage.work();
        stage.once_told("shows itself");
        let beside = stage.odd(Shows::Waits, How::Fine);
        until("its neighbour is done", || stage.peek(&beside).is_none());
        // Heartbeats continue, for this job as for all others.
        let lease = |id: &MessageId| stage.peek(id).and_then(|message| message.until);
        let is_over = || stage.peek(&slow).is_some_and(|message| message.state == MessageState::Delayed);
        for _ in 0..143 {
            let before = lease(&slow);
            stage.clock.advance(25 * SECOND);
            until("its lease is renewed", || lease(&slow) > before);
        }
        // Its timeout applies. The clock then stands, or the next run would begin.
        stage.clock.advance(25 * SECOND);
        until("its timeout ends it", is_over);
        assert_eq!(reason(&stage.once(&slow, MessageState::Delayed)), "timed out after 1h");
        stage.board.open("show");
        let summary = working.stop();
        assert_eq!((summary.done, summary.retried, summary.lost_leases), (1, 1, 0));
    });
}

#[test]
fn a_cancelled_future_is_dropped_within_its_runtime_and_may_panic_then() {
    on_each(|stage| {
        let id = stage.publish(OddFuture);
        let working = stage.work();
        stage.once_told("hangs");
        stage.clock.advance(30 * SECOND);
        stage.once_told("dropped");
        stage.once_told("farewell");
        assert_eq!(reason(&stage.once(&id, MessageState::Delayed)), "timed out after 30s");
        let next = stage.odd(Shows::Text, How::Fine);
        until("the lane goes on", || stage.peek(&next).is_none());
        working.stop();
    });
}

#[test]
fn published_follow_ups_can_be_discarded() {
    on_each(|stage| {
        let working = stage.work();
        let id = stage.publish(Reconsider);
        until("it is done", || stage.peek(&id).is_none());
        until("what it published last is run", || stage.all("odd_panic").iter().any(|message| message.attempts == 1));
        assert!(stage.all("odd_return").is_empty());
        working.stop();
    });
}

#[test]
fn the_longest_durations_overflow_nothing() {
    let mut options = WorkerOptions::default();
    options.sleep_duration = Duration::MAX;
    options.shutdown_grace = Duration::MAX;
    options.unknown_type_grace = Duration::MAX;
    let mut changed = pulpo::worker::HandlerOptions::default();
    changed.timeout = Some(Some(Duration::MAX));
    changed.ttr = Some(Duration::MAX);
    changed.linger = Some(Duration::MAX);
    // Otherwise two lanes would gather forever.
    changed.concurrency = Some(1);
    options.handlers.insert("odd_line".to_owned(), changed.clone());
    changed.linger = None;
    changed.concurrency = None;
    options.handlers.insert("odd".to_owned(), changed);
    crate::stage::with("disk", 2, options, &|stage| {
        let working = stage.work();
        let done = stage.odd(Shows::Text, How::Fine);
        let failed = stage.odd(Shows::Text, How::Transient);
        let fatal = stage.odd(Shows::Text, How::Fatal);
        let never = stage.odd(Shows::Text, How::RetryNever);
        let later = stage.publish(pulpo::Message::new(OddPanic).delay(Duration::MAX).expiration(Duration::MAX));
        let lines: Vec<_> =
            (0..10).map(|_| stage.publish(OddLine(Odd { shows: Shows::Text, how: How::Fine }))).collect();
        until("all are settled", || stage.peek(&done).is_none() && lines.iter().all(|id| stage.peek(id).is_none()));
        stage.once(&failed, MessageState::Delayed);
        stage.once(&fatal, MessageState::Buried);
        stage.once(&never, MessageState::Delayed);
        stage.once(&later, MessageState::Delayed);
        assert_eq!(working.stop().done, 11);
    });
}
