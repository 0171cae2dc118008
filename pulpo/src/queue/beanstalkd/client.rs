//! One connection to the server: the only file that touches the crate
//! `beanstalkc`.
//!
//! What its source (1.0.0) makes necessary, and what is done about it:
//!
//! - It sets no timeouts and hides its socket, so a silent server hangs it for
//!   ever, even in `drop`. A [`Watchdog`] shuts down the [`Socket`] of a call
//!   that takes too long.
//! - It sends one command and waits for its answer. Where several can go in one
//!   write, they are written to the socket by hand: see [`Client::converse`].
//! - `connect` panics on a name that does not resolve or has no IPv4 address.
//!   It is given an address that has just answered a [`probe`], never a name.
//! - Errors are strings, and an end of the stream is an "empty response": they
//!   become a [`Fault`] here, once.
//! - It takes a line that broke off for a whole one: of `INSERTED 1234` cut
//!   after the 1 it reads the id 1. See [`Client::put`].
//! - It writes a body as a `String` made without a check: ours are `&str`.
//! - Seconds are cut off, not rounded up; a duration below one is none.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use beanstalkc::{Beanstalkc, BeanstalkcError};

use super::fault::{Fault, found};
use super::job::TubeStats;
#[cfg(unix)]
use super::pipeline::Answers;
use super::probe::probe;
use super::socket::Socket;
use super::watchdog::{Call, Watchdog};

/// Where the server is, and how long it may be silent.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) silence: Duration,
    pub(super) watchdog: Arc<Watchdog>,
}

impl From<BeanstalkcError> for Fault {
    /// The crate tells a refusal by the `Debug` name of its private `Status`.
    fn from(error: BeanstalkcError) -> Self {
        match error {
            BeanstalkcError::ConnectionError(text) => Self::Dropped(text),
            BeanstalkcError::CommandFailed(word) | BeanstalkcError::UnexpectedResponse(word) => match word.as_str() {
                "empty response" => Self::Dropped("the server closed it".to_owned()),
                word => Self::named(word),
            },
        }
    }
}

/// A connection. To drop it closes it, and the server makes ready again what was
/// reserved through it.
pub(super) struct Client {
    inner: Beanstalkc,
    silence: Duration,
    call: Arc<Call>,
    /// An answer may be outstanding: the next one would be taken for another's.
    out_of_step: bool,
    /// Answers to what is written by hand; empty between two conversations.
    #[cfg(unix)]
    inbox: std::io::BufReader<Socket>,
    using: Option<String>,
    /// The id of the last put.
    last_id: u64,
    /// What the server says of itself, once it was asked.
    max_job_size: Option<Option<u64>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("is_alive", &self.is_alive()).field("using", &self.using).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects, within the time that the server may be silent: on a thread
    /// since neither the look for its address nor the crate has a timeout.
    pub(super) fn open(server: &Server) -> Result<Self, Fault> {
        let (opened, result) = mpsc::sync_channel(1);
        let thread = {
            let server = server.clone();
            move || {
                let client = catch_unwind(|| Self::connect(&server)).unwrap_or_else(|panic| Err(panicked(&*panic)));
                // Who asked may have gone: then so does the client.
                let _ = opened.send(client);
            }
        };
        std::thread::Builder::new()
            .name("pulpo-beanstalkd".to_owned())
            .spawn(thread)
            .map_err(|error| Fault::Unreachable(format!("no thread for the connection: {error}")))?;
        match result.recv_timeout(server.silence) {
            Ok(client) => client,
            Err(RecvTimeoutError::Timeout) => Err(Fault::Silent(server.silence)),
            Err(RecvTimeoutError::Disconnected) => Err(Fault::Panicked("while connecting".to_owned())),
        }
    }

    fn connect(server: &Server) -> Result<Self, Fault> {
        let address = probe(server)?;
        // The crate puts a colon between the two, and looks for an IPv4
        // address only if it has a timeout.
        let (host, timeout) = match address.ip() {
            IpAddr::V4(ip) => (ip.to_string(), Some(server.silence)),
            IpAddr::V6(ip) => (format!("[{ip}]"), None),
        };
        let inner = Beanstalkc::new().host(&host).port(address.port()).connection_timeout(timeout).connect();
        let inner = inner.map_err(|error| Fault::Unreachable(error.to_string()))?;
        let socket = Socket::find(&format!("{inner:?}"), &address)?;
        Ok(Self {
            inner,
            silence: server.silence,
            call: server.watchdog.guard(socket)?,
            out_of_step: false,
            #[cfg(unix)]
            inbox: std::io::BufReader::new(socket),
            using: None,
            last_id: 0,
            max_job_size: None,
        })
    }

    /// Whether it can still be used.
    pub(super) fn is_alive(&self) -> bool {
        !self.out_of_step && !self.call.has_ended()
    }

    /// Has the crate do a command, for which the server may take `pause` beyond
    /// the time that it may be silent.
    fn ask_for<R>(
        &mut self,
        pause: Duration,
        command: impl FnOnce(&mut Beanstalkc) -> Result<R, BeanstalkcError>,
    ) -> Result<R, Fault> {
        let limit = self.silence + pause;
        self.begin(limit)?;
        let answer = catch_unwind(AssertUnwindSafe(|| command(&mut self.inner)));
        let answer = answer.map_or_else(|panic| Err(panicked(&*panic)), |answer| answer.map_err(Fault::from));
        self.end(limit, answer)
    }

    fn ask<R>(&mut self, command: impl FnOnce(&mut Beanstalkc) -> Result<R, BeanstalkcError>) -> Result<R, Fault> {
        self.ask_for(Duration::ZERO, command)
    }

    /// Writes several commands at once, by hand, and has their answers read:
    /// one round trip. For what the last one waits for, the server may take
    /// `pause` beyond the time that it may be silent.
    #[cfg(unix)]
    pub(super) fn converse<R>(
        &mut self,
        pause: Duration,
        commands: &[u8],
        read: impl FnOnce(&mut Answers<'_>) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let limit = self.silence + pause;
        self.begin(limit)?;
        let mut answers = Answers::new(&mut self.inbox, &self.call, limit);
        let answer = answers.write(commands).and_then(|()| read(&mut answers));
        let answer = answer.and_then(|answer| {
            let rest = String::from_utf8_lossy(self.inbox.buffer());
            if rest.is_empty() { Ok(answer) } else { Err(Fault::Foreign(rest.into_owned())) }
        });
        self.end(limit, answer)
    }

    fn begin(&mut self, limit: Duration) -> Result<(), Fault> {
        if !self.is_alive() {
            return Err(Fault::Dropped("it was given up".to_owned()));
        }
        self.out_of_step = true;
        self.call.begin(limit);
        Ok(())
    }

    fn end<R>(&mut self, limit: Duration, answer: Result<R, Fault>) -> Result<R, Fault> {
        self.call.done();
        let answer = answer.map_err(|fault| if self.call.has_ended() { Fault::Silent(limit) } else { fault });
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
        self.ask_for(Duration::from_secs(seconds), |client| {
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

    /// What the server knows of a tube; `None` if there is no such tube.
    pub(super) fn stats_tube(&mut self, tube: &str) -> Result<Option<TubeStats>, Fault> {
        let entries = match self.ask(|client| client.stats_tube(tube)) {
            Err(Fault::NotFound) => return Ok(None),
            entries => entries?,
        };
        let garbled = || Fault::Dropped("the answer to stats-tube is garbled".to_owned());
        TubeStats::read(&entries).map(Some).ok_or_else(garbled)
    }

    /// What the server knows of a job, under its names for it.
    #[cfg(not(unix))]
    pub(super) fn stats_of_job(&mut self, id: u64) -> Result<std::collections::HashMap<String, String>, Fault> {
        self.ask(|client| client.stats_job(id))
    }

    /// Hands out nothing of the tube for so many seconds; 0: goes on.
    pub(super) fn pause_tube(&mut self, tube: &str, seconds: u32) -> Result<(), Fault> {
        self.ask(|client| client.pause_tube(tube, Duration::from_secs(seconds.into())))
    }

    /// How many bytes a job may have at most, if the server says so.
    pub(super) fn max_job_size(&mut self) -> Result<Option<u64>, Fault> {
        if self.max_job_size.is_none() {
            let stats = self.ask(|client| client.stats())?;
            self.max_job_size = Some(stats.get("max-job-size").and_then(|size| size.parse().ok()));
        }
        Ok(self.max_job_size.flatten())
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

impl Drop for Client {
    fn drop(&mut self) {
        // The crate says good-bye, and waits for an answer.
        self.call.close();
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Fault {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    Fault::Panicked(text.unwrap_or_else(|| "without a text".to_owned()))
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
        let server = Server {
            host: "no-such-host.invalid".to_owned(),
            port: 11300,
            silence: Duration::from_secs(20),
            watchdog: Arc::new(Watchdog::new()),
        };
        let fault = Client::open(&server).expect_err("there is no such host");
        assert!(matches!(fault, Fault::Unreachable(_)), "{fault}");
    }
}
