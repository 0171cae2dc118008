//! Ends calls that a silent server leaves without an answer: who calls says how
//! long the server may take, and a thread shuts the socket down when it has
//! taken longer, so that the call returns with an error.
//!
//! A call costs a look at the clock and two stores. The thread sleeps until the
//! first call is overdue, or until there is one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::fault::Fault;
use super::socket::Socket;
use crate::clock::{Clock as _, SystemClock, lock};

/// Nobody waits for an answer.
const NEVER: u64 = u64::MAX;

/// Dropped, it ends its thread.
#[derive(Debug)]
pub(super) struct Watchdog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: SystemClock,
    /// When the thread looks next, in microseconds of the clock.
    next_look: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Weak<Call>>,
    has_thread: bool,
    over: bool,
}

/// The call that a connection has in progress, if any.
#[derive(Debug)]
pub(super) struct Call {
    watchdog: Arc<Shared>,
    /// When the answer must have come, in microseconds of the clock.
    due: AtomicU64,
    ended: AtomicBool,
    /// `None` when it is closed, and its number may be another's.
    socket: Mutex<Option<Socket>>,
}

impl Watchdog {
    pub(super) fn new() -> Self {
        Self(Arc::new(Shared {
            clock: SystemClock::new(),
            next_look: AtomicU64::new(NEVER),
            state: Mutex::default(),
            changed: Condvar::new(),
        }))
    }

    /// Watches over the calls on this socket, until it is closed.
    pub(super) fn guard(&self, socket: Socket) -> Result<Arc<Call>, Fault> {
        let call = Arc::new(Call {
            watchdog: self.0.clone(),
            due: AtomicU64::new(NEVER),
            ended: AtomicBool::new(false),
            socket: Mutex::new(Some(socket)),
        });
        let mut state = lock(&self.0.state);
        if !state.has_thread {
            let shared = self.0.clone();
            std::thread::Builder::new()
                .name("pulpo-watchdog".to_owned())
                .spawn(move || watch(&shared))
                .map_err(|error| Fault::Unreachable(format!("no thread to watch over the connection: {error}")))?;
            state.has_thread = true;
        }
        state.calls.retain(|call| call.strong_count() > 0);
        state.calls.push(Arc::downgrade(&call));
        Ok(call)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        lock(&self.0.state).over = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn now(&self) -> u64 {
        micros(self.clock.uptime())
    }
}

impl Call {
    /// From now on the server may take so long for the next word.
    pub(super) fn begin(&self, limit: Duration) {
        let due = self.watchdog.now().saturating_add(micros(limit));
        self.due.store(due, Ordering::SeqCst);
        if due < self.watchdog.next_look.load(Ordering::SeqCst) {
            // Its thread holds the lock from its look until it sleeps.
            drop(lock(&self.watchdog.state));
            self.watchdog.changed.notify_all();
        }
    }

    /// The answer is there.
    pub(super) fn done(&self) {
        self.due.store(NEVER, Ordering::SeqCst);
    }

    /// Whether the server took too long: the connection is at its end.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Shuts the socket down, which may then be closed.
    pub(super) fn close(&self) {
        if let Some(socket) = lock(&self.socket).take() {
            socket.shut_down();
        }
    }

    fn end_if_due(&self, now: u64) {
        let socket = lock(&self.socket);
        if self.due.load(Ordering::SeqCst) <= now
            && let Some(socket) = *socket
            && !self.ended.swap(true, Ordering::SeqCst)
        {
            socket.shut_down();
        }
    }
}

fn watch(shared: &Shared) {
    let mut state = lock(&shared.state);
    while !state.over {
        let earliest = |calls: &[Weak<Call>]| {
            let due = calls.iter().filter_map(Weak::upgrade).filter(|call| !call.has_ended());
            due.map(|call| call.due.load(Ordering::SeqCst)).min().unwrap_or(NEVER)
        };
        shared.next_look.store(earliest(&state.calls), Ordering::SeqCst);
        // Again: a call that began in between has not seen the new time.
        let next = earliest(&state.calls);
        if next == NEVER {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        let now = shared.now();
        if next > now {
            let wait = Duration::from_micros(next - now);
            (state, _) = shared.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        state.calls.iter().filter_map(Weak::upgrade).for_each(|call| call.end_if_due(now));
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(NEVER)
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::time::Instant;

    fn pair() -> (TcpStream, Socket, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = Socket::find(&format!("{stream:?}"), &stream.peer_addr().unwrap()).unwrap();
        (stream, socket, listener.accept().unwrap().0)
    }

    #[test]
    fn only_calls_without_an_answer_are_ended() {
        let watchdog = Watchdog::new();
        let ((mut quiet, socket, _peer), (mut other, other_socket, mut other_peer)) = (pair(), pair());
        let (silent, answered) = (watchdog.guard(socket).unwrap(), watchdog.guard(other_socket).unwrap());
        let start = Instant::now();
        // The later one first: the thread has to wake up earlier than it wanted.
        answered.begin(Duration::from_secs(600));
        silent.begin(Duration::from_millis(80));
        assert_eq!(quiet.read(&mut [0]).unwrap(), 0, "shut down");
        assert!(start.elapsed() >= Duration::from_millis(80) && silent.has_ended());
        answered.done();
        assert!(!answered.has_ended());
        std::io::Write::write_all(&mut other_peer, b"x").unwrap();
        assert_eq!(other.read(&mut [0]).unwrap(), 1, "still open");
        // Nothing is due: a call that begins now has to wake the thread.
        answered.begin(Duration::from_millis(20));
        assert_eq!(other.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_closed_socket_is_left_alone() {
        let watchdog = Watchdog::new();
        let (mut stream, socket, mut peer) = pair();
        let call = watchdog.guard(socket).unwrap();
        call.begin(Duration::from_secs(600));
        // As if the number were another's by now.
        *lock(&call.socket) = None;
        call.begin(Duration::ZERO);
        call.end_if_due(NEVER);
        std::io::Write::write_all(&mut peer, b"x").unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 1);
    }
}
