//! Schedules in a folder beside a queue that fails.

use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::TimeDelta;

use super::*;
use crate::clock::ManualClock;
use crate::queue::file::FileQueue;
use crate::queue::{
    Capabilities, Consumer, Enqueued, Filter, Inspection, MessageState, NewMessage, Stats, StoredMessage,
};

/// Fails once, after a number of publications.
#[derive(Debug)]
struct FailsOnce {
    queue: FileQueue,
    until_failure: AtomicUsize,
}

impl QueueAdapter for FailsOnce {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError> {
        if self.until_failure.fetch_sub(1, Ordering::SeqCst) == 0 {
            return Err(QueueError::Draining { place: "the queue".to_owned() });
        }
        self.queue.enqueue(messages)
    }
    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        self.queue.consumer(queues)
    }
    fn interrupt(&self) {
        self.queue.interrupt();
    }
}

impl Inspection for FailsOnce {
    fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        self.queue.peek(id)
    }
    fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        self.queue.list(filter)
    }
    fn stats(&self) -> Result<Stats, QueueError> {
        self.queue.stats()
    }
    fn kick(&self, filter: &Filter) -> Result<u64, QueueError> {
        self.queue.kick(filter)
    }
    fn delete(&self, filter: &Filter) -> Result<u64, QueueError> {
        self.queue.delete(filter)
    }
}

const ENTRY: (&str, &str) = ("report", "every 1m");

struct Stage {
    queue: Arc<FailsOnce>,
    store: Store,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// The entry is settled at minute 0.
    fn new(until_failure: usize) -> Self {
        let clock = Arc::new(ManualClock::at(at(0)));
        let memory = || FileQueue::memory(false, clock.clone()).expect("a queue");
        let queue = Arc::new(FailsOnce { queue: memory(), until_failure: AtomicUsize::new(until_failure) });
        let folder = tempfile::tempdir().expect("a folder");
        let separate = SeparateStore { keeper: Arc::new(memory()), folder: folder.path().to_owned() };
        let store = Store::new(queue.clone(), Some(separate)).expect("a store");
        store.kept().step_schedule(&ScheduleStep::new(ENTRY.0, ENTRY.1, None, at(0))).expect("made");
        Self { queue, store, _folder: folder }
    }

    /// Steps to minute 6, with what is due since the last step. Returns whether that succeeded, and for each minute
    /// that was told whether a message was published.
    fn step(&self, overlap: bool) -> (bool, Vec<(i64, bool)>) {
        let known = self.store.read().expect("read");
        let settled = known.entry(ENTRY.0, ENTRY.1).expect("the entry").settled;
        let mut step = ScheduleStep::new(ENTRY.0, ENTRY.1, Some(settled), at(6));
        (step.next, step.overlap) = (Some(at(7)), overlap);
        let due = (1..=5).map(at).filter(|due| *due > settled);
        step.occurrences = due
            .map(|due| Occurrence::new(due, NewMessage::new("a", ENTRY.0, format!("{{\"at\": \"{due}\"}}"))))
            .collect();
        let mut told = Vec::new();
        let stepped = self.store.step(step, &known, |part, ids| {
            assert_eq!(part.occurrences.len(), ids.len());
            let minutes = part.occurrences.iter().map(|occurrence| (occurrence.at - at(0)).num_minutes());
            told.extend(minutes.zip(ids.iter().map(Option::is_some)));
        });
        (stepped.is_ok(), told)
    }

    fn published(&self) -> usize {
        self.queue.list(&Filter::all()).expect("a list").len()
    }
}

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(minute)
}

#[test]
fn a_publication_that_fails_repeats_none_of_those_before() {
    let all: Vec<_> = (1..=5).map(|minute| (minute, true)).collect();
    for fails_at in 0..5 {
        let stage = Stage::new(fails_at);
        assert_eq!(stage.step(true), (false, all[..fails_at].to_vec()));
        let known = stage.store.read().expect("read");
        let entry = known.entry(ENTRY.0, ENTRY.1).expect("the entry");
        // The next one is due, and shown as such.
        assert_eq!(entry.settled, at(fails_at as i64));
        assert!(fails_at == 0 || entry.next == Some(at(fails_at as i64 + 1)), "{entry:?}");
        assert_eq!(stage.step(true), (true, all[fails_at..].to_vec()));
        assert_eq!(stage.published(), 5);
        let known = stage.store.read().expect("read");
        let entry = known.entry(ENTRY.0, ENTRY.1).expect("the entry");
        assert_eq!((entry.settled, entry.next, entry.last), (at(6), Some(at(7)), Some(at(5))));
        assert_eq!(stage.step(true), (true, Vec::new()));
        assert_eq!(stage.published(), 5);
    }
}

#[test]
fn of_several_times_that_may_not_overlap_the_first_is_published() {
    let stage = Stage::new(2);
    let first: Vec<_> = (1..=5).map(|minute| (minute, minute == 1)).collect();
    assert_eq!(stage.step(false), (true, first));
    let messages = stage.queue.list(&Filter::all()).expect("a list");
    assert_eq!(messages.iter().map(|message| message.state).collect::<Vec<_>>(), [MessageState::Ready]);
}
