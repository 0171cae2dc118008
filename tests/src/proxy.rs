//! TCP proxies that cut connections after an exact number of bytes or before a word, slow them down, hold answers back, or count what
//! waits for an answer.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// Accepts connections on a free port of 127.0.0.1 until it is dropped.
#[derive(Debug)]
struct Acceptor {
    port: u16,
    over: Arc<AtomicBool>,
}

impl Acceptor {
    /// Passes each client to `accept`.
    fn start(accept: impl Fn(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let acceptor = Self { port: listener.local_addr().expect("its address").port(), over: Arc::default() };
        let over = acceptor.over.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(client) = client {
                    accept(client);
                }
            }
        });
        acceptor
    }

    /// Passes each client to `forward`, with a connection to the server on this port of 127.0.0.1.
    fn between(upstream: u16, forward: impl Fn(&TcpStream, &TcpStream) + Send + 'static) -> Self {
        Self::start(move |client| {
            if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)) {
                forward(&client, &server);
            }
        })
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wake the accepting thread.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// Returns the number of bytes, counted in both directions together, after which a connection is
/// cut. The first connection is number 0.
pub type Cuts = fn(u64) -> u64;

/// Forwards connections to a server until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    acceptor: Acceptor,
    cutting: Arc<AtomicBool>,
    connections: Arc<AtomicU64>,
}

impl Proxy {
    /// Starts a proxy for the server on this port of 127.0.0.1.
    ///
    /// # Panics
    /// Panics if it cannot listen.
    #[must_use]
    pub fn start(upstream: u16, cuts: Cuts) -> Self {
        let (cutting, connections) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
        let (is_cutting, count) = (cutting.clone(), connections.clone());
        let acceptor = Acceptor::start(move |client| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            let left = if is_cutting.load(Ordering::SeqCst) { cuts(number) } else { u64::MAX };
            forward(client, upstream, left);
        });
        Self { acceptor, cutting, connections }
    }

    /// Returns the port on which it listens, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.acceptor.port
    }

    /// Returns the number of connections so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::SeqCst)
    }

    /// Stops cutting new connections.
    pub fn spare(&self) {
        self.cutting.store(false, Ordering::SeqCst);
    }
}

fn forward(client: TcpStream, upstream: u16, left: u64) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)) else { return };
    let left = Arc::new(Mutex::new(left));
    for (from, to) in [(&client, &server), (&server, &client)] {
        let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { return };
        let left = left.clone();
        std::thread::spawn(move || {
            pump(&from, &to, &left);
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}

fn pump(mut from: &TcpStream, mut to: &TcpStream, left: &Mutex<u64>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let mut left = left.lock().expect("the other direction");
        let allowed = usize::try_from(*left).unwrap_or(usize::MAX).min(count);
        *left -= allowed as u64;
        if to.write_all(&buffer[..allowed]).is_err() || *left == 0 {
            return;
        }
    }
}

/// The behaviour of a slow line, in each direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line {
    delay: Duration,
    bytes_per_second: Option<u32>,
}

impl Line {
    /// Returns a line that is not slow yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Delays everything that is sent.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Limits the throughput.
    #[must_use]
    pub fn bytes_per_second(mut self, bytes: u32) -> Self {
        self.bytes_per_second = Some(bytes);
        self
    }

    /// Starts a proxy for the server on this port of 127.0.0.1, over such a line.
    ///
    /// # Panics
    /// Panics if it cannot listen.
    #[must_use]
    pub fn start(self, upstream: u16) -> SlowProxy {
        let acceptor = Acceptor::between(upstream, move |client, server| {
            self.forward(client, server);
            self.forward(server, client);
        });
        SlowProxy { acceptor }
    }

    /// One thread reads, and another writes when it is time.
    fn forward(self, from: &TcpStream, to: &TcpStream) {
        let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
        let _ = to.set_nodelay(true);
        let (read, pieces) = mpsc::channel::<(Instant, Vec<u8>)>();
        std::thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                if read.send((Instant::now() + self.delay, buffer[..count].to_vec())).is_err() {
                    return;
                }
                // Otherwise the whole transfer would be in memory here, and fast.
                if let Some(bytes) = self.bytes_per_second {
                    std::thread::sleep(Duration::from_secs_f64(count as f64 / f64::from(bytes)));
                }
            }
        });
        std::thread::spawn(move || {
            for (at, piece) in pieces {
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
                if to.write_all(&piece).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
        });
    }
}

/// Forwards connections over a slow line until it is dropped.
#[derive(Debug)]
pub struct SlowProxy {
    acceptor: Acceptor,
}

impl SlowProxy {
    /// Returns the port on which it listens, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.acceptor.port
    }
}

/// Forwards connections to a PostgreSQL until it is dropped, and counts the questions of a client
/// that wait for their answers. The connections may not be encrypted.
#[derive(Debug)]
pub struct CountingProxy {
    acceptor: Acceptor,
    most: Arc<AtomicU64>,
}

impl CountingProxy {
    /// Starts a proxy for the server on this port of 127.0.0.1.
    ///
    /// # Panics
    /// Panics if it cannot listen.
    #[must_use]
    pub fn start(upstream: u16) -> Self {
        let most = Arc::new(AtomicU64::new(0));
        let counted = most.clone();
        let acceptor = Acceptor::between(upstream, move |client, server| {
            // The connection itself is the first question.
            let waiting = Arc::new(AtomicU64::new(1));
            let (most, asked) = (counted.clone(), waiting.clone());
            forward_frames(client, server, true, move |kind| {
                // A sync, or a query that is a text.
                if matches!(kind, b'S' | b'Q') {
                    most.fetch_max(asked.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                }
            });
            forward_frames(server, client, false, move |kind| {
                // Ready for the next one.
                if kind == b'Z' {
                    waiting.fetch_sub(1, Ordering::SeqCst);
                }
            });
        });
        Self { acceptor, most }
    }

    /// Returns the port on which it listens, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.acceptor.port
    }

    /// Returns the largest number of questions of one connection that waited at the same time.
    #[must_use]
    pub fn most_at_once(&self) -> u64 {
        self.most.load(Ordering::SeqCst)
    }
}

/// Forwards the frames of PostgreSQL's protocol on a thread, each after a call with its kind. A
/// client's first one has none.
fn forward_frames(from: &TcpStream, to: &TcpStream, starts: bool, see: impl Fn(u8) + Send + 'static) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    let _ = to.set_nodelay(true);
    std::thread::spawn(move || {
        let mut has_kind = !starts;
        let mut frame = || -> std::io::Result<()> {
            let mut head = [0; 5];
            let begin = usize::from(!has_kind);
            from.read_exact(&mut head[begin..])?;
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
            let mut rest = vec![0; usize::try_from(length).expect("a length").saturating_sub(4)];
            from.read_exact(&mut rest)?;
            if has_kind {
                see(head[0]);
            }
            to.write_all(&[&head[begin..], &rest].concat())?;
            has_kind = true;
            Ok(())
        };
        while frame().is_ok() {}
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}

/// Forwards connections to a beanstalkd until it is dropped, and can hold back the server's answers
/// to clients that count messages.
#[derive(Debug)]
pub struct HoldingProxy {
    acceptor: Acceptor,
    holding: Arc<AtomicBool>,
}

impl HoldingProxy {
    /// Starts a proxy for the server on this port of 127.0.0.1.
    ///
    /// # Panics
    /// Panics if it cannot listen.
    #[must_use]
    pub fn start(upstream: u16) -> Self {
        let holding = Arc::new(AtomicBool::new(false));
        let held = holding.clone();
        let acceptor = Acceptor::between(upstream, move |client, server| hold_answers(client, server, &held));
        Self { acceptor, holding }
    }

    /// Returns the port on which it listens, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.acceptor.port
    }

    /// Holds back the answers to clients that count messages, or sends them again.
    pub fn hold(&self, hold: bool) {
        self.holding.store(hold, Ordering::SeqCst);
    }
}

impl Drop for HoldingProxy {
    fn drop(&mut self) {
        self.hold(false);
    }
}

fn hold_answers(client: &TcpStream, server: &TcpStream, holding: &Arc<AtomicBool>) {
    let counting = Arc::new(AtomicBool::new(false));
    let clones = || Some((client.try_clone().ok()?, server.try_clone().ok()?));
    let (Some((mut asks, mut to_server)), Some((mut to_client, mut says))) = (clones(), clones()) else { return };
    let (counts, holding) = (counting.clone(), holding.clone());
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = asks.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..count]);
            counts.store(text.contains("stats-tube ") || text.contains("list-tubes\r\n"), Ordering::SeqCst);
            if to_server.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to_server.shutdown(Shutdown::Both);
    });
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = says.read(&mut buffer) {
            while holding.load(Ordering::SeqCst) && counting.load(Ordering::SeqCst) {
                std::thread::park_timeout(std::time::Duration::from_millis(1));
            }
            if to_client.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
}

/// Forwards connections to a server until it is dropped, except for the first answer with a certain word: that one, and
/// all that the server says after it on the same connection, never arrive.
#[derive(Debug)]
pub struct WithholdingProxy {
    acceptor: Acceptor,
    withheld: mpsc::Receiver<()>,
}

impl WithholdingProxy {
    /// Starts a proxy for the server on this port of 127.0.0.1.
    ///
    /// # Panics
    /// Panics if it cannot listen.
    #[must_use]
    pub fn start(upstream: u16, word: &'static str) -> Self {
        let (tell, withheld) = mpsc::channel();
        let acceptor = Acceptor::between(upstream, move |client, server| withhold(client, server, word, &tell));
        Self { acceptor, withheld }
    }

    /// Returns the port on which it listens, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.acceptor.port
    }

    /// Waits until the answer has come and was withheld.
    ///
    /// # Panics
    /// Panics if it does not come within two minutes.
    pub fn await_answer(&self) {
        self.withheld.recv_timeout(Duration::from_secs(120)).expect("the server gives this answer");
    }
}

fn withhold(client: &TcpStream, server: &TcpStream, word: &'static str, tell: &mpsc::Sender<()>) {
    let Some((mut says, mut to_client)) = forward_questions(client, server) else { return };
    let tell = tell.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = says.read(&mut buffer) {
            if String::from_utf8_lossy(&buffer[..count]).contains(word) {
                let _ = tell.send(());
                return;
            }
            if to_client.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
}

/// Forwards what the client sends, on a thread. Returns where the answers come from, and where they go.
fn forward_questions(client: &TcpStream, server: &TcpStream) -> Option<(TcpStream, TcpStream)> {
    let (mut asks, mut to_server) = (client.try_clone().ok()?, server.try_clone().ok()?);
    let (says, to_client) = (server.try_clone().ok()?, client.try_clone().ok()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut asks, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    Some((says, to_client))
}

/// Forwards connections to a server until it is dropped, and changes the text of its answers.
#[derive(Debug)]
pub struct RewritingProxy {
    acceptor: Acceptor,
}

impl RewritingProxy {
    /// Starts a proxy for the server on this port of 127.0.0.1. `rewrite` changes an answer, and must not change its
    /// length. An answer that arrives in parts is not recognised, so answers should be short.
    ///
    /// # Panics
    /// Panics if it cannot listen.
    #[must_use]
    pub fn start(upstream: u16, rewrite: fn(&str) -> String) -> Self {
        Self { acceptor: Acceptor::between(upstream, move |client, server| forward_rewritten(client, server, rewrite)) }
    }

    /// Returns the port on which it listens, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.acceptor.port
    }
}

fn forward_rewritten(client: &TcpStream, server: &TcpStream, rewrite: fn(&str) -> String) {
    let Some((mut says, mut to_client)) = forward_questions(client, server) else { return };
    std::thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = says.read(&mut buffer) {
            let told = rewrite(&String::from_utf8_lossy(&buffer[..count]));
            if to_client.write_all(told.as_bytes()).is_err() {
                break;
            }
        }
        let _ = to_client.shutdown(Shutdown::Both);
    });
}

/// Forwards connections to a server until it is dropped, and cuts each one before the server's first answer with a certain
/// word arrives.
#[derive(Debug)]
pub struct CuttingProxy {
    acceptor: Acceptor,
}

impl CuttingProxy {
    /// Starts a proxy for the server on this port of 127.0.0.1. The word may not be empty.
    ///
    /// # Panics
    /// Panics if it cannot listen.
    #[must_use]
    pub fn start(upstream: u16, word: &'static str) -> Self {
        Self { acceptor: Acceptor::between(upstream, move |client, server| forward_until(client, server, word)) }
    }

    /// Returns the port on which it listens, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.acceptor.port
    }
}

fn forward_until(client: &TcpStream, server: &TcpStream, word: &'static str) {
    let Some((mut says, mut to_client)) = forward_questions(client, server) else { return };
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        // The end of what was said, since the word may arrive in parts.
        let mut tail = Vec::new();
        while let Ok(count @ 1..) = says.read(&mut buffer) {
            tail.extend_from_slice(&buffer[..count]);
            let has_word = tail.windows(word.len()).any(|part| part == word.as_bytes());
            tail.drain(..tail.len().saturating_sub(word.len() - 1));
            if has_word || to_client.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        for stream in [&to_client, &says] {
            let _ = stream.shutdown(Shutdown::Both);
        }
    });
}
