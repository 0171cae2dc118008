//! How a consumer waits, and what ends it.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::task::{Context, Poll, Wake};
use std::thread::Thread;
use std::time::Duration;

use super::harness::Harness;
use super::steps::{ConsumerExt as _, HarnessExt as _, message, text};
use crate::queue::{Consumer, Delivery, DequeueFilter, EnqueueAsync, QueueError};

/// Longer than any wait should need to end, and shorter than the wait itself.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);
const WAIT: Duration = Duration::from_secs(300);

pub(super) type Waited = Result<Option<Delivery>, QueueError>;

/// Waits on another thread, which first reports that it is about to.
pub(super) fn wait(mut consumer: Box<dyn Consumer>) -> (Receiver<()>, Receiver<Waited>) {
    let (starting, started) = mpsc::channel();
    let (ending, ended) = mpsc::channel();
    std::thread::spawn(move || {
        // The case may have failed and dropped the receiver.
        let _ = starting.send(());
        let _ = ending.send(consumer.dequeue(&DequeueFilter::all(), WAIT));
    });
    (started, ended)
}

pub(super) fn a_dequeue_without_wait_returns_at_once(harness: &dyn Harness) {
    let mut consumer = harness.consumer();
    let (done, waited) = mpsc::channel();
    std::thread::spawn(move || {
        consumer.nothing();
        let _ = done.send(());
    });
    waited.recv_timeout(DEADLINE).expect("a dequeue without wait returns");
}

pub(super) fn an_interrupt_ends_a_wait(harness: &dyn Harness) {
    let waits: Vec<_> = (0..3).map(|_| wait(harness.consumer())).collect();
    for (started, _) in &waits {
        started.recv_timeout(DEADLINE).expect("the thread starts");
    }
    harness.queue().interrupt();
    for (_, ended) in waits {
        let waited = ended.recv_timeout(DEADLINE).expect("the wait ends");
        assert!(waited.expect("dequeue").is_none());
    }
}

pub(super) fn an_interrupt_ends_the_next_wait_too(harness: &dyn Harness) {
    let consumer = harness.consumer();
    harness.queue().interrupt();
    let (_, ended) = wait(consumer);
    assert!(ended.recv_timeout(DEADLINE).expect("the wait ends").expect("dequeue").is_none());
}

pub(super) fn an_enqueue_ends_a_wait(harness: &dyn Harness) {
    let (started, ended) = wait(harness.consumer());
    started.recv_timeout(DEADLINE).expect("the thread starts");
    harness.put(message("here"));
    let waited = ended.recv_timeout(DEADLINE).expect("the wait ends").expect("dequeue");
    assert_eq!(waited.as_ref().map(text).as_deref(), Some("here"));
}

/// Wakes the thread that polls.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    let waker = Arc::new(Unpark(std::thread::current())).into();
    loop {
        if let Poll::Ready(output) = std::pin::Pin::new(&mut future).poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park();
    }
}

pub(super) fn an_async_enqueue_keeps_messages_and_ends_a_wait(harness: &dyn Harness) {
    let (queue, messages) = (harness.queue(), vec![message("first"), message("second")]);
    let EnqueueAsync::Pending(enqueued) = queue.enqueue_async(messages.clone()) else {
        // A queue that can only block gives the messages back.
        let EnqueueAsync::Blocks(back) = queue.enqueue_async(messages) else { panic!("the queue blocked before") };
        assert_eq!(back.len(), 2);
        return;
    };
    let mut consumer = harness.consumer();
    let look = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue");
    assert!(look.is_none(), "nothing is enqueued before it is polled");
    let (started, ended) = wait(consumer);
    started.recv().expect("it starts");
    let ids: Vec<_> = block_on(enqueued).expect("enqueued").into_iter().map(|one| one.id).collect();
    assert_eq!(ids.len(), 2);
    let first = ended.recv_timeout(DEADLINE).expect("the wait ends").expect("the queue answers").expect("a message");
    assert_eq!(first.lease.id, ids[0]);
}
