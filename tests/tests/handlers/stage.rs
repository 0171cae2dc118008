//! A queue, a clock that stands still, and a worker with the handlers of this program.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use pulpo::clock::ManualClock;
use pulpo::queue::file::FileQueue;
use pulpo::queue::{Filter, MessageState, QueueAdapter, StoredMessage};
use pulpo::worker::{Stopper, Summary, Worker, WorkerOptions};
use pulpo::{IntoMessage, Job, MessageId, Pulpo};
use pulpo_tests::wait::until;

use crate::board::Board;
use crate::plain::Plain;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) struct Stage {
    pub(crate) clock: ManualClock,
    pub(crate) queue: Arc<dyn QueueAdapter>,
    pub(crate) pulpo: Pulpo,
    pub(crate) board: Board,
    pub(crate) folder: Option<tempfile::TempDir>,
}

/// A worker on its thread.
pub(crate) struct Working {
    pub(crate) stopper: Stopper,
    pub(crate) thread: JoinHandle<Summary>,
}

impl Working {
    pub(crate) fn stop(self) -> Summary {
        self.stopper.stop();
        self.thread.join().expect("the worker does not panic")
    }
}

/// Runs a test on disk, in memory, and on a queue with only the required capabilities. The worker
/// has one lane, so that a lost lane shows.
pub(crate) fn on_each(test: impl Fn(Stage)) {
    for kind in ["disk", "memory", "plain"] {
        on(kind, 1, &test);
    }
}

pub(crate) fn on(kind: &str, lanes: usize, test: &impl Fn(Stage)) {
    with(kind, lanes, WorkerOptions::default(), test);
}

/// Runs a test with these options in addition to the number of lanes.
pub(crate) fn with(kind: &str, lanes: usize, mut options: WorkerOptions, test: &impl Fn(Stage)) {
    let clock = ManualClock::at("2026-11-23T09:00:00Z".parse().expect("a time"));
    let folder = (kind == "disk").then(|| tempfile::tempdir().expect("a folder"));
    let file = match &folder {
        Some(folder) => FileQueue::open(folder.path(), true, Arc::new(clock.clone())),
        None => FileQueue::memory(true, Arc::new(clock.clone())),
    };
    let file = file.expect("a queue");
    let board = Board::default();
    let queue: Arc<dyn QueueAdapter> =
        if kind == "plain" { Arc::new(Plain(file, board.clone())) } else { Arc::new(file) };
    options.concurrency = lanes;
    options.handle_signals = false;
    let pulpo = Pulpo::with_queue(queue.clone(), options, Arc::new(clock.clone()));
    test(Stage { clock, queue, pulpo, board, folder });
}

impl Stage {
    pub(crate) fn worker(&self) -> Worker {
        self.pulpo.worker().expect("handlers").state(self.board.clone())
    }

    pub(crate) fn work(&self) -> Working {
        let worker = self.worker();
        let stopper = worker.stopper();
        Working { stopper, thread: std::thread::spawn(move || worker.run().expect("a run")) }
    }

    pub(crate) fn publish<J: Job>(&self, message: impl IntoMessage<J>) -> MessageId {
        self.pulpo.publish(message).expect("published").id().expect("an id").clone()
    }

    /// Returns the message unless it is done: the queue keeps finished messages.
    pub(crate) fn peek(&self, id: &MessageId) -> Option<StoredMessage> {
        let message = self.queue.peek(id).expect("the queue answers");
        message.filter(|message| message.state != pulpo::queue::MessageState::Done)
    }

    pub(crate) fn all(&self, request_type: &str) -> Vec<StoredMessage> {
        self.queue.list(&Filter::all().request_type(request_type)).expect("a list")
    }

    /// Returns the message once it is in this state.
    pub(crate) fn once(&self, id: &MessageId, state: MessageState) -> StoredMessage {
        let mut found = None;
        until(&format!("message {id} is {state}"), || {
            found = self.peek(id);
            found.as_ref().is_some_and(|message| message.state == state)
        });
        found.expect("found")
    }

    pub(crate) fn once_told(&self, line: &str) {
        until(&format!("a handler tells {line:?}, not {:?}", self.board.lines()), || self.board.has(line));
    }
}

pub(crate) fn reason(message: &StoredMessage) -> &str {
    message.last_error.as_deref().expect("a reason")
}
