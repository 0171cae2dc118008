//! Live updates: what they cost, and how they end.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pulpo::MessageId;
use pulpo::queue::file::FileQueue;
use pulpo::queue::{
    Capabilities, Consumer, Enqueued, Filter, Inspection, NewMessage, QueueAdapter, QueueError, Stats, StoredMessage,
};
use pulpo_tests::http::ask;
use pulpo_tests::wait::until;

use super::in_process::{Service, file_queue, pulpo_on};

/// How long to wait for the end of a stream, which ends much earlier.
const LONG: Duration = Duration::from_secs(120);

/// An embedded queue that counts how often it is counted.
#[derive(Debug)]
struct Counting {
    queue: FileQueue,
    counted: Arc<AtomicU64>,
    /// It does not answer while this is locked.
    answers: Arc<Mutex<()>>,
}

impl QueueAdapter for Counting {
    fn capabilities(&self) -> Capabilities {
        self.queue.capabilities()
    }

    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError> {
        self.queue.enqueue(messages)
    }

    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        self.queue.consumer(queues)
    }

    fn interrupt(&self) {
        self.queue.interrupt();
    }
}

impl Inspection for Counting {
    fn peek(&self, id: &MessageId) -> Result<Option<StoredMessage>, QueueError> {
        self.queue.peek(id)
    }

    fn list(&self, filter: &Filter) -> Result<Vec<StoredMessage>, QueueError> {
        self.queue.list(filter)
    }

    fn stats(&self) -> Result<Stats, QueueError> {
        self.counted.fetch_add(1, Ordering::SeqCst);
        drop(self.answers.lock().expect("not poisoned"));
        self.queue.stats()
    }

    fn kick(&self, filter: &Filter) -> Result<u64, QueueError> {
        self.queue.kick(filter)
    }

    fn delete(&self, filter: &Filter) -> Result<u64, QueueError> {
        self.queue.delete(filter)
    }
}

/// Starts a service, and returns how often its queue has been counted.
fn start(folder: &Path) -> (Service, Arc<AtomicU64>) {
    let (service, counted, _) = start_with_lock(folder);
    (service, counted)
}

/// Starts such a service, and also returns the lock that keeps its queue from answering.
fn start_with_lock(folder: &Path) -> (Service, Arc<AtomicU64>, Arc<Mutex<()>>) {
    let counted = Arc::new(AtomicU64::new(0));
    let answers = Arc::new(Mutex::new(()));
    let queue = Counting { queue: file_queue(folder), counted: counted.clone(), answers: answers.clone() };
    (Service::start(pulpo::dashboard::router(pulpo_on(Arc::new(queue)))), counted, answers)
}

/// A page that listens.
struct Listener(BufReader<TcpStream>);

impl Listener {
    fn start(address: SocketAddr, headers: &str) -> Self {
        Self::try_start(address, headers).expect("it is answered")
    }

    /// Returns `None` if there are too many.
    fn try_start(address: SocketAddr, headers: &str) -> Option<Self> {
        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(LONG)).expect("set");
        write!(stream, "GET /events HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n").expect("sent");
        let mut listener = Self(BufReader::new(stream));
        listener.next("HTTP/1.1 ").contains("200").then_some(listener)
    }

    /// Returns the next line that begins with one of these, separated by `|`; empty at the end of the stream.
    fn next(&mut self, begins: &str) -> String {
        let began = Instant::now();
        loop {
            let mut line = String::new();
            let read = self.0.read_line(&mut line).expect("a line");
            if read == 0 || begins.split('|').any(|begin| line.starts_with(begin)) {
                return line;
            }
            assert!(began.elapsed() < LONG, "timed out waiting for {begins:?}");
        }
    }
}

#[test]
fn fifty_open_pages_cost_the_queue_as_much_as_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (service, counted) = start(folder.path());
    let mut pages: Vec<_> = (0..50).map(|_| Listener::start(service.address, "")).collect();
    // Each has heard once.
    pages.iter_mut().for_each(|page| drop(page.next("event: |: ")));
    let (before, began) = (counted.load(Ordering::SeqCst), Instant::now());
    for _ in 0..3 {
        // Four go on; the others have ended and connect again.
        pages[4..].iter_mut().for_each(|page| *page = Listener::start(service.address, ""));
        pages.iter_mut().for_each(|page| drop(page.next("event: |: ")));
    }
    let (asked, seconds) = (counted.load(Ordering::SeqCst) - before, began.elapsed().as_secs_f64());
    assert!(asked as f64 <= 2.0 * seconds + 2.0, "{asked} times in {seconds} s");
    assert!(asked > 0, "they do listen");
}

#[test]
fn a_page_that_connects_again_hears_only_of_what_is_new() {
    let folder = tempfile::tempdir().expect("a folder");
    let (service, _) = start(folder.path());
    let mut page = Listener::start(service.address, "");
    let id = page.next("id: ");
    assert_eq!(page.next("event: "), "event: change\n");
    let mut again = Listener::start(service.address, &format!("Last-Event-ID: {}\r\n", id[4..].trim()));
    // Unless a minute begins, which moves the charts.
    let heard = again.next("event: |: ");
    let next_id = Listener::start(service.address, "").next("id: ");
    assert!(heard == ": the same\n" || next_id != id, "{heard}");
    let odd = Listener::start(service.address, "Last-Event-ID: x\r\n").next("event: |: ");
    assert_eq!(odd, "event: change\n");
}

#[test]
fn four_streams_last_and_the_others_end_with_their_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let (service, _) = start(folder.path());
    let mut lasting: Vec<_> = (0..4).map(|_| Listener::start(service.address, "")).collect();
    for _ in 0..3 {
        let mut other = Listener::start(service.address, "");
        assert_eq!(other.next("event: |0\r"), "event: change\n");
        // The last chunk of the stream.
        assert_eq!(other.next("event: |: |0\r"), "0\r\n");
    }
    assert_eq!(lasting[0].next("event: |0\r"), "event: change\n");
    assert!(lasting[0].next(": |event: |0\r") != "0\r\n", "it goes on");
    // One that is closed lets another one last.
    lasting.pop();
    until("another one lasts", || {
        let mut other = Listener::start(service.address, "");
        other.next("event: ");
        other.next("event: |: |0\r") != "0\r\n"
    });
    // None lasts forever.
    lasting.iter_mut().for_each(|page| assert_eq!(page.next("0\r"), "0\r\n"));
}

#[test]
fn there_are_not_more_than_sixty_four_streams() {
    let folder = tempfile::tempdir().expect("a folder");
    let (service, _, answers) = start_with_lock(folder.path());
    let slow = answers.lock().expect("not poisoned");
    let mut pages = Vec::new();
    let mut refused = None;
    // A stream whose query is not answered in ten seconds ends. A machine that does other things too may take that long
    // for all of them.
    until("there are too many", || {
        // Those of the try before make room, a moment after they are closed.
        pages.clear();
        until("there is room for the first", || {
            pages.extend(Listener::try_start(service.address, ""));
            !pages.is_empty()
        });
        pages.extend((1..64).map_while(|_| Listener::try_start(service.address, "")));
        refused = (pages.len() == 64).then(|| ask(service.address, "GET", "/events", &[], ""));
        refused.as_ref().is_some_and(|answer| answer.status == 503)
    });
    let answer = refused.expect("just seen");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{}", answer.body);
    assert_eq!(service.get("/assets/style.css").status, 200, "the rest is there");
    drop(slow);
    pages.iter_mut().for_each(|page| drop(page.next("event: ")));
    // Those that have ended make room for others.
    until("there is room", || {
        let mut stream = TcpStream::connect(service.address).expect("it listens");
        write!(stream, "GET /events HTTP/1.1\r\nHost: {}\r\n\r\n", service.address).expect("sent");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("an answer");
        line.contains("200")
    });
}
