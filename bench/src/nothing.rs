//! A queue that delivers the same message again and again and keeps nothing, so that only the cost
//! of pulpo remains.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::Utc;
use pulpo::queue::{
    Capabilities, Consumer, Delivery, DequeueFilter, Enqueued, Filter, Inspection, Lease, NewMessage, QueueAdapter,
    QueueError, Settlement, Stats, StoredMessage,
};
use pulpo::worker::WorkerOptions;
use pulpo::{MessageId, Pulpo};

use crate::{Email, RUNS};

/// A queue that makes a given number of deliveries, and then is empty.
#[derive(Debug)]
pub struct Nothing {
    text: Vec<u8>,
    left: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

struct NothingConsumer {
    text: Vec<u8>,
    token: Arc<str>,
    left: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Nothing {
    /// Creates a queue of `jobs` messages.
    ///
    /// # Panics
    /// Panics if the job cannot be serialized.
    #[must_use]
    pub fn new(jobs: u64) -> Self {
        let body = serde_json::to_value(Email::numbered(7)).expect("JSON");
        let header = serde_json::json!({"request_type": "send_email", "priority": 65536});
        Self {
            text: serde_json::json!({"header": header, "body": body}).to_string().into_bytes(),
            left: Arc::new(AtomicU64::new(jobs)),
            over: Arc::default(),
        }
    }
}

/// Measures how long a worker with one lane takes for `jobs` messages without a queue.
///
/// # Panics
/// Panics if the worker does not run.
#[must_use]
pub fn work(jobs: u64) -> Duration {
    let mut options = WorkerOptions::default();
    options.concurrency = 1;
    options.handle_signals = false;
    let clock = Arc::new(pulpo::clock::SystemClock::new());
    let pulpo = Pulpo::with_queue(Arc::new(Nothing::new(jobs)), options, clock);
    let worker = pulpo.worker().expect("a handler");
    let stopper = worker.stopper();
    RUNS.expect(jobs, false);
    let started = Instant::now();
    let thread = std::thread::spawn(move || worker.run().expect("a run"));
    let took = RUNS.wait().duration_since(started);
    stopper.stop();
    thread.join().expect("no panic");
    took
}

impl QueueAdapter for Nothing {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }
    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError> {
        Ok(messages.iter().map(|_| Enqueued::new(1)).collect())
    }
    fn consumer(&self, _: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        let (text, left, over) = (self.text.clone(), self.left.clone(), self.over.clone());
        Ok(Box::new(NothingConsumer { text, token: "token".into(), left, over }))
    }
    fn interrupt(&self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

impl Inspection for Nothing {
    fn peek(&self, _: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        Ok(None)
    }
    fn list(&self, _: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        Ok(Vec::new())
    }
    fn stats(&self) -> Result<Stats, QueueError> {
        Ok(Stats::default())
    }
    fn kick(&self, _: &Filter) -> Result<u64, QueueError> {
        Ok(0)
    }
    fn delete(&self, _: &Filter) -> Result<u64, QueueError> {
        Ok(0)
    }
}

impl Consumer for NothingConsumer {
    fn dequeue(&mut self, _: &DequeueFilter, wait: Duration) -> Result<Option<Delivery>, QueueError> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            let end = Instant::now() + wait;
            while !self.over.load(Ordering::SeqCst) && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(1));
            }
            return Ok(None);
        }
        self.left.store(left - 1, Ordering::Relaxed);
        let lease = Lease { id: MessageId::from(left), token: self.token.clone() };
        Ok(Some(Delivery::new(lease, "pulpo", Utc::now(), Duration::from_secs(60), self.text.clone())))
    }
    fn settle(&mut self, _: &Lease, _: &mut Settlement) -> Result<(), QueueError> {
        Ok(())
    }
    fn touch(&mut self, _: &[Lease]) -> Result<Vec<Lease>, QueueError> {
        Ok(Vec::new())
    }
}
