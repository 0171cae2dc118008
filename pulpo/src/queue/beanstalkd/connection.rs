//! One connection to the server: the only file that touches the crate
//! `beanstalkc`.
//!
//! What its source (1.0.0) makes necessary, and what is done about it:
//!
//! - It sets no timeouts and hides its socket, so a silent server hangs it for
//!   ever, even in `drop`. Each client lives on a thread of its own, and who
//!   asks waits for an answer only so long. A thread left in a silent read
//!   ends when its socket does. That the number of such threads stays small is
//!   the work of [`probe`]: the crate gets to connect only to a server that
//!   has just answered, so one that accepts and is silent costs none, and one
//!   that falls silent costs at most the connections it had.
//! - `connect` panics on a name that does not resolve or has no IPv4 address.
//!   It is given an address, never a name.
//! - Errors are strings, and an end of the stream is an "empty response": they
//!   become a [`Fault`] here, once.
//! - It takes a line that broke off for a whole one: of `INSERTED 1234` cut
//!   after the 1 it reads the id 1. See [`Client::put`].
//! - It writes a body as a `String` made without a check: ours are `&str`.
//! - Seconds are cut off, not rounded up; a duration below one is none.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use beanstalkc::{Beanstalkc, BeanstalkcError};

use super::job::{JobStats, TubeStats};
use crate::clock::{Clock as _, SystemClock};

/// Where the server is, and how long it may be silent.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) silence: Duration,
}

/// Why the server did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("{0}")]
    Unreachable(String),
    #[error("all connections to it are in use, and none became free within {time}", time = humantime::format_duration(*.0))]
    Busy(Duration),
    #[error("it did not answer within {time}", time = humantime::format_duration(*.0))]
    Silent(Duration),
    #[error("the connection was lost: {0}")]
    Dropped(String),
    #[error("its client panicked: {0}")]
    Panicked(String),
    #[error("it answered {0:?}")]
    Foreign(String),
    #[error("it refused the command: {0}")]
    Refused(&'static str),
    #[error("there is no such job, or it is reserved by another connection")]
    NotFound,
    #[error("no job came in time")]
    TimedOut,
    #[error("the lease of a reserved job ends soon")]
    DeadlineSoon,
    #[error("the job is too big")]
    TooBig,
    #[error("it takes no more jobs before it is stopped")]
    Draining,
    #[error("it is out of memory")]
    OutOfMemory,
    #[error("it was out of memory and buried the job")]
    Buried,
}

impl Fault {
    /// Whether the connection is of no more use: it is gone, or what comes
    /// next on it may answer an older question.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Self::Unreachable(_)
            | Self::Silent(_)
            | Self::Dropped(_)
            | Self::Panicked(_)
            | Self::Foreign(_)
            | Self::Refused(_) => true,
            Self::Busy(_)
            | Self::NotFound
            | Self::TimedOut
            | Self::DeadlineSoon
            | Self::TooBig
            | Self::Draining
            | Self::OutOfMemory
            | Self::Buried => false,
        }
    }
}

impl From<BeanstalkcError> for Fault {
    /// The crate tells a refusal by the `Debug` name of its private `Status`.
    fn from(error: BeanstalkcError) -> Self {
        let word = match error {
            BeanstalkcError::ConnectionError(text) => return Self::Dropped(text),
            BeanstalkcError::CommandFailed(word) | BeanstalkcError::UnexpectedResponse(word) => word,
        };
        match word.as_str() {
            "NotFound" => Self::NotFound,
            "TimedOut" => Self::TimedOut,
            "DeadlineSoon" => Self::DeadlineSoon,
            "JobTooBig" => Self::TooBig,
            "Draining" => Self::Draining,
            "OutOfMemory" => Self::OutOfMemory,
            "Buried" => Self::Buried,
            "InternalError" => Self::Refused("INTERNAL_ERROR"),
            "BadFormat" => Self::Refused("BAD_FORMAT"),
            "UnknownCommand" => Self::Refused("UNKNOWN_COMMAND"),
            "ExpectedCRLF" => Self::Refused("EXPECTED_CRLF"),
            "NotIgnored" => Self::Refused("NOT_IGNORED"),
            "empty response" => Self::Dropped("the server closed it".to_owned()),
            other => Self::Dropped(format!("the answer broke off or is garbled: {other:?}")),
        }
    }
}

type Request = Box<dyn FnOnce(&mut Client) + Send>;

/// The way to a client on its thread. To drop it closes the connection, and
/// the server makes ready again what was reserved through it.
#[derive(Debug)]
pub(super) struct Connection {
    requests: mpsc::Sender<Request>,
    life: Arc<Life>,
    silence: Duration,
}

/// What both sides of a connection know of it.
#[derive(Debug)]
struct Life {
    clock: SystemClock,
    /// When the server last said anything, in microseconds of the clock.
    heard: AtomicU64,
    /// Nobody waits for the answers any more.
    over: AtomicBool,
}

impl Life {
    fn now(&self) -> u64 {
        u64::try_from(self.clock.uptime().as_micros()).unwrap_or(u64::MAX)
    }

    fn hear(&self) {
        self.heard.store(self.now(), Ordering::SeqCst);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

impl Connection {
    /// Connects, within the time that the server may be silent.
    pub(super) fn open(server: &Server) -> Result<Self, Fault> {
        let life = Arc::new(Life { clock: SystemClock::new(), heard: AtomicU64::new(0), over: AtomicBool::new(false) });
        let (requests, inbox) = mpsc::channel::<Request>();
        let (opened, result) = mpsc::sync_channel(1);
        let thread = {
            let (server, life) = (server.clone(), life.clone());
            move || {
                let client =
                    catch_unwind(|| Client::connect(&server, life)).unwrap_or_else(|panic| Err(panicked(&*panic)));
                let (word, client) = match client {
                    Ok(client) => (Ok(()), Some(client)),
                    Err(fault) => (Err(fault), None),
                };
                // Who asked may have gone: then so does the client.
                if opened.send(word).is_err() {
                    return;
                }
                if let Some(mut client) = client {
                    for request in inbox {
                        request(&mut client);
                    }
                }
            }
        };
        std::thread::Builder::new()
            .name("pulpo-beanstalkd".to_owned())
            .spawn(thread)
            .map_err(|error| Fault::Unreachable(format!("no thread for the connection: {error}")))?;
        match result.recv_timeout(server.silence) {
            Ok(word) => word.map(|()| Self { requests, life, silence: server.silence }),
            Err(RecvTimeoutError::Timeout) => Err(Fault::Silent(server.silence)),
            Err(RecvTimeoutError::Disconnected) => Err(Fault::Panicked("while connecting".to_owned())),
        }
    }

    /// Whether it can still be used.
    pub(super) fn is_alive(&self) -> bool {
        !self.life.is_over()
    }

    /// Runs `talk` on the client's thread: several commands in it cost one
    /// change of threads. `pause` is how long an answer may take beyond the
    /// time that the server may be silent.
    pub(super) fn run<R: Send + 'static>(
        &self,
        pause: Duration,
        talk: impl FnOnce(&mut Client) -> Result<R, Fault> + Send + 'static,
    ) -> Result<R, Fault> {
        if !self.is_alive() {
            return Err(Fault::Dropped("it was given up".to_owned()));
        }
        let (done, result) = mpsc::sync_channel(1);
        let request: Request = Box::new(move |client| {
            let answer = catch_unwind(AssertUnwindSafe(|| talk(client))).unwrap_or_else(|panic| Err(panicked(&*panic)));
            // Nobody may be waiting any more.
            let _ = done.send(answer);
        });
        self.life.hear();
        let answer = if self.requests.send(request).is_ok() {
            self.wait(&result, self.silence + pause)
        } else {
            Err(Fault::Dropped("its thread has ended".to_owned()))
        };
        if answer.as_ref().is_err_and(Fault::ends_connection) {
            self.life.over.store(true, Ordering::SeqCst);
        }
        answer
    }

    /// Waits until the answer is there or the server has been silent for
    /// `limit`: a batch may take long as long as it goes on.
    fn wait<R>(&self, result: &mpsc::Receiver<Result<R, Fault>>, limit: Duration) -> Result<R, Fault> {
        loop {
            let silent = self.life.now().saturating_sub(self.life.heard.load(Ordering::SeqCst));
            let left = limit.saturating_sub(Duration::from_micros(silent));
            match result.recv_timeout(left) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Timeout) if left.is_zero() => return Err(Fault::Silent(limit)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Fault::Panicked("the thread of the connection ended".to_owned()));
                }
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.life.over.store(true, Ordering::SeqCst);
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Fault {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    Fault::Panicked(text.unwrap_or_else(|| "without a text".to_owned()))
}

/// Speaks to the server, on the thread of its connection.
pub(super) struct Client {
    inner: Beanstalkc,
    life: Arc<Life>,
    /// An answer may be outstanding: the next one would be taken for another's.
    out_of_step: bool,
    using: Option<String>,
    /// The id of the last put.
    last_id: u64,
}

impl Client {
    fn connect(server: &Server, life: Arc<Life>) -> Result<Self, Fault> {
        let address = probe(server)?;
        // The crate puts a colon between the two, and looks for an IPv4
        // address only if it has a timeout.
        let (host, timeout) = match address.ip() {
            IpAddr::V4(ip) => (ip.to_string(), Some(server.silence)),
            IpAddr::V6(ip) => (format!("[{ip}]"), None),
        };
        let inner = Beanstalkc::new().host(&host).port(address.port()).connection_timeout(timeout).connect();
        Ok(Self {
            inner: inner.map_err(|error| Fault::Unreachable(error.to_string()))?,
            life,
            out_of_step: false,
            using: None,
            last_id: 0,
        })
    }

    fn ask<R>(&mut self, command: impl FnOnce(&mut Beanstalkc) -> Result<R, BeanstalkcError>) -> Result<R, Fault> {
        // Who gave up has told its caller so: nothing may be done after that.
        if self.out_of_step || self.life.is_over() {
            return Err(Fault::Dropped("it was given up".to_owned()));
        }
        // Also if the crate panics.
        self.out_of_step = true;
        let answer = command(&mut self.inner).map_err(Fault::from);
        self.life.hear();
        self.out_of_step = answer.as_ref().is_err_and(Fault::ends_connection);
        answer
    }

    /// Whether the server is there and this connection works.
    pub(super) fn ping(&mut self) -> Result<(), Fault> {
        self.ask(|client| client.using()).map(drop)
    }

    pub(super) fn use_tube(&mut self, tube: &str) -> Result<(), Fault> {
        if self.using.as_deref() != Some(tube) {
            self.ask(|client| client.use_tube(tube))?;
            self.using = Some(tube.to_owned());
        }
        Ok(())
    }

    /// Puts a job into the tube in use, and says its id. Delay and ttr are in
    /// whole seconds.
    pub(super) fn put(&mut self, text: &str, priority: u32, delay: u32, ttr: u32) -> Result<u64, Fault> {
        let (delay, ttr) = (Duration::from_secs(delay.into()), Duration::from_secs(ttr.into()));
        let id = self.ask(|client| client.put(text.as_bytes(), priority, delay, ttr))?;
        // The line may have broken off within the id. Then the id is shorter
        // than it should be, and nothing comes after it: unless it fits to the
        // one before, see whether the connection still works.
        if id <= self.last_id || id >= self.last_id.saturating_mul(10) {
            self.ping()?;
        }
        self.last_id = id;
        Ok(id)
    }

    pub(super) fn watch(&mut self, tube: &str) -> Result<(), Fault> {
        self.ask(|client| client.watch(tube)).map(drop)
    }

    pub(super) fn ignore(&mut self, tube: &str) -> Result<(), Fault> {
        self.ask(|client| client.ignore(tube)).map(drop)
    }

    /// The next job, waiting for it for so many seconds.
    pub(super) fn reserve(&mut self, seconds: u64) -> Result<(u64, Vec<u8>), Fault> {
        self.ask(|client| {
            client.reserve_with_timeout(Duration::from_secs(seconds)).map(|job| (job.id(), job.body().to_vec()))
        })
    }

    pub(super) fn delete(&mut self, id: u64) -> Result<(), Fault> {
        self.ask(|client| client.delete(id))
    }

    /// Delay in whole seconds.
    pub(super) fn release(&mut self, id: u64, priority: u32, delay: u32) -> Result<(), Fault> {
        self.ask(|client| client.release(id, priority, Duration::from_secs(delay.into())))
    }

    pub(super) fn bury(&mut self, id: u64, priority: u32) -> Result<(), Fault> {
        self.ask(|client| client.bury(id, priority))
    }

    pub(super) fn touch(&mut self, id: u64) -> Result<(), Fault> {
        self.ask(|client| client.touch(id))
    }

    /// Makes a job ready that is buried or delayed.
    pub(super) fn kick_job(&mut self, id: u64) -> Result<(), Fault> {
        self.ask(|client| client.kick_job(id))
    }

    pub(super) fn stats_job(&mut self, id: u64) -> Result<JobStats, Fault> {
        let entries = self.ask(|client| client.stats_job(id))?;
        // The crate makes an empty map of what it cannot read.
        JobStats::read(&entries).ok_or_else(|| Fault::Dropped("the answer to stats-job is garbled".to_owned()))
    }

    /// What the server knows of a tube; `None` if there is no such tube.
    pub(super) fn stats_tube(&mut self, tube: &str) -> Result<Option<TubeStats>, Fault> {
        let entries = match self.ask(|client| client.stats_tube(tube)) {
            Err(Fault::NotFound) => return Ok(None),
            entries => entries?,
        };
        let garbled = || Fault::Dropped("the answer to stats-tube is garbled".to_owned());
        TubeStats::read(&entries).map(Some).ok_or_else(garbled)
    }

    /// Hands out nothing of the tube for so many seconds; 0: goes on.
    pub(super) fn pause_tube(&mut self, tube: &str, seconds: u32) -> Result<(), Fault> {
        self.ask(|client| client.pause_tube(tube, Duration::from_secs(seconds.into())))
    }

    /// How many bytes a job may have at most, if the server says so.
    pub(super) fn max_job_size(&mut self) -> Result<Option<u64>, Fault> {
        Ok(self.ask(|client| client.stats())?.get("max-job-size").and_then(|size| size.parse().ok()))
    }

    pub(super) fn tubes(&mut self) -> Result<Vec<String>, Fault> {
        self.ask(|client| client.tubes())
    }

    /// The text of a job in any state.
    pub(super) fn peek(&mut self, id: u64) -> Result<Option<Vec<u8>>, Fault> {
        found(self.ask(|client| client.peek(id).map(|job| job.body().to_vec())))
    }

    /// The job of the tube in use whose delay is over first, and its text.
    pub(super) fn peek_delayed(&mut self) -> Result<Option<(u64, Vec<u8>)>, Fault> {
        found(self.ask(|client| client.peek_delayed().map(|job| (job.id(), job.body().to_vec()))))
    }

    /// The job of the tube in use that is handed out next.
    pub(super) fn peek_ready(&mut self) -> Result<Option<u64>, Fault> {
        found(self.ask(|client| client.peek_ready().map(|job| job.id())))
    }

    /// The job of the tube in use that was buried first.
    pub(super) fn peek_buried(&mut self) -> Result<Option<u64>, Fault> {
        found(self.ask(|client| client.peek_buried().map(|job| job.id())))
    }
}

/// `None` in place of "not found".
pub(super) fn found<R>(answer: Result<R, Fault>) -> Result<Option<R>, Fault> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Fault::NotFound) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// The first address of the server at which a beanstalkd answers, asked on a
/// socket of our own, which has timeouts.
fn probe(server: &Server) -> Result<SocketAddr, Fault> {
    let name = (server.host.as_str(), server.port);
    let addresses = name
        .to_socket_addrs()
        .map_err(|error| Fault::Unreachable(format!("the name {:?} does not resolve: {error}", server.host)))?;
    let mut last = Fault::Unreachable(format!("the name {:?} has no address", server.host));
    for address in addresses {
        match probe_address(&address, server.silence) {
            Ok(()) => return Ok(address),
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

fn probe_address(address: &SocketAddr, limit: Duration) -> Result<(), Fault> {
    let mut socket =
        TcpStream::connect_timeout(address, limit).map_err(|error| Fault::Unreachable(error.to_string()))?;
    let broken = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => Fault::Silent(limit),
        _ => Fault::Dropped(error.to_string()),
    };
    socket.set_read_timeout(Some(limit)).map_err(broken)?;
    socket.set_write_timeout(Some(limit)).map_err(broken)?;
    socket.write_all(b"list-tube-used\r\n").map_err(broken)?;
    let expected = b"USING ";
    let mut answer = Vec::new();
    let mut part = [0; 64];
    while answer.len() < expected.len() {
        match socket.read(&mut part).map_err(broken)? {
            0 => return Err(Fault::Dropped("the server closed it".to_owned())),
            more => answer.extend_from_slice(&part[..more]),
        }
    }
    if answer.starts_with(expected) {
        return Ok(());
    }
    Err(Fault::Foreign(String::from_utf8_lossy(&answer).trim_end().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strings_of_the_crate_become_faults() {
        let fault = |word: &str| Fault::from(BeanstalkcError::CommandFailed(word.to_owned()));
        assert_eq!(fault("NotFound"), Fault::NotFound);
        assert_eq!(fault("JobTooBig"), Fault::TooBig);
        let dropped = Fault::from(BeanstalkcError::UnexpectedResponse("empty response".to_owned()));
        assert!(dropped.ends_connection(), "{dropped}");
        assert!(fault("INSER").ends_connection());
    }

    #[test]
    fn a_name_without_address_is_an_error() {
        let server = Server { host: "no-such-host.invalid".to_owned(), port: 11300, silence: Duration::from_secs(20) };
        let fault = Connection::open(&server).expect_err("there is no such host");
        assert!(matches!(fault, Fault::Unreachable(_)), "{fault}");
    }
}
