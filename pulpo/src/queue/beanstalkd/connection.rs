//! One connection to the server, over a socket with timeouts.
//!
//! # Invariants
//! - In step: as many answers are read as commands were sent. A connection that owes answers ([`Connection::owed`]) is
//!   used further only by code that reads them.
//! - The timeout is for silence: it applies to each read and write separately, so slow data still arrives.
//! - An answer that is late stays owed ([`Fault::Silent`]) and can be read later. An incomplete write ends the
//!   connection.

use std::io::{self, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::fault::Fault;
use super::protocol::{Answer, Commands, ReadError, Reading};

/// The address of the server, and how long it may be silent.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) response_timeout: Duration,
}

/// The maximum number of concurrent name look-ups of a process: the system's look-up has no timeout, and may leave its
/// thread behind.
const MOST_LOOKUPS: usize = 8;

/// After this much silence, the system probes the connection, so that firewalls keep it open and a machine that
/// vanished is noticed.
#[cfg(unix)]
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Approximately how much written data the system buffers. The rest waits in the write, where its progress can be seen.
#[cfg(unix)]
const SEND_BUFFER: usize = 128 * 1024;

/// How much written data may still be in transit, in bytes, and the slowest transfer to expect, in bytes per second:
/// the server cannot answer before it has received everything.
const ON_ITS_WAY: usize = 512 * 1024;
const SLOWEST: usize = 256 * 1024;

/// From this many owed answers on, a reader that has read all lets some gather, for about as long as the server takes
/// for them, and at most this long. The server sends each answer in a system call of its own; if that has to wake the
/// reader, it takes longer than the command itself.
#[cfg(unix)]
const MANY_OWED: usize = 32;
#[cfg(unix)]
const TIME_PER_ANSWER: Duration = Duration::from_micros(2);
#[cfg(unix)]
const LONGEST_REST: Duration = Duration::from_micros(400);

/// A connection. Dropping it closes it, and the server makes the jobs ready again that were reserved through it.
#[derive(Debug)]
pub(super) struct Connection {
    socket: BufReader<TcpStream>,
    reading: Reading,
    owed: usize,
    /// Whether nothing more can be read or written.
    ended: bool,
    response_timeout: Duration,
    /// The current timeout of the socket.
    read_timeout: Duration,
    /// Bytes written since the last answer.
    unanswered: usize,
    using: Option<String>,
}

impl Connection {
    /// Connects, and checks that a beanstalkd answers, within the time that the server may be silent; all its addresses
    /// share that time. The first command uses the tube, if one is given.
    pub(super) fn open(server: &Server, tube: Option<&str>) -> Result<Self, Fault> {
        Self::open_first(&addresses(server)?, server, tube)
    }

    /// Opens a connection to the first of these addresses at which a beanstalkd answers.
    fn open_first(addresses: &[SocketAddr], server: &Server, tube: Option<&str>) -> Result<Self, Fault> {
        let end = Instant::now() + server.response_timeout;
        let mut last = Fault::Unreachable(format!("the name {:?} has no address", server.host));
        for (index, address) in addresses.iter().enumerate() {
            let others = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            let share = end.saturating_duration_since(Instant::now()) / others;
            match Self::open_at(address, server.response_timeout, share.max(Duration::from_millis(1)), tube) {
                Ok(connection) => return Ok(connection),
                // A silent server: report the whole time that was waited for.
                Err(Fault::Silent(_)) => last = Fault::Silent(server.response_timeout),
                Err(fault) => last = fault,
            }
        }
        Err(last)
    }

    fn open_at(
        address: &SocketAddr,
        response_timeout: Duration,
        time: Duration,
        tube: Option<&str>,
    ) -> Result<Self, Fault> {
        let end = Instant::now() + time;
        let socket = TcpStream::connect_timeout(address, time).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Fault::Silent(time),
            _ => Fault::Unreachable(error.to_string()),
        })?;
        let prepared = socket.set_nodelay(true).and_then(|()| prepare(&socket));
        prepared.and_then(|()| socket.set_write_timeout(Some(time))).map_err(unreachable)?;
        let mut connection = Self {
            socket: BufReader::with_capacity(16 * 1024, socket),
            reading: Reading::default(),
            owed: 0,
            ended: false,
            response_timeout,
            read_timeout: Duration::ZERO,
            unanswered: 0,
            using: None,
        };
        let mut hello = Commands::new();
        match tube {
            Some(tube) => hello.use_tube(tube),
            None => hello.list_tube_used(),
        };
        connection.send(&hello)?;
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        connection.answer_within(left)?.expect(&Answer::Using)?;
        connection.using = tube.map(str::to_owned);
        let write = connection.socket.get_ref().set_write_timeout(Some(response_timeout));
        write.map_err(unreachable)?;
        Ok(connection)
    }

    /// Returns whether it is in step and open, and so can be reused.
    pub(super) fn is_in_step(&self) -> bool {
        !self.ended && self.owed == 0 && self.reading.is_between_answers() && self.socket.buffer().is_empty()
    }

    /// Returns whether nothing more can be read or written.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Returns how many answers are still to come.
    pub(super) fn owed(&self) -> usize {
        self.owed
    }

    /// Sends these commands in one write.
    pub(super) fn send(&mut self, commands: &Commands) -> Result<(), Fault> {
        if self.ended {
            return Err(Fault::Dropped("it was given up".to_owned()));
        }
        self.owed += commands.len();
        self.unanswered = self.unanswered.saturating_add(commands.bytes().len());
        self.socket.get_mut().write_all(commands.bytes()).map_err(|error| {
            self.ended = true;
            ended(&error, self.response_timeout)
        })
    }

    /// Reads the next answer.
    pub(super) fn answer(&mut self) -> Result<Answer, Fault> {
        self.answer_within(self.response_timeout)
    }

    /// Reads the next answer of a large request, where nothing waits for a single answer.
    pub(super) fn answer_of_many(&mut self) -> Result<Answer, Fault> {
        #[cfg(unix)]
        if self.owed >= MANY_OWED
            && self.socket.buffer().is_empty()
            && rustix::io::ioctl_fionread(self.socket.get_ref()).is_ok_and(|bytes| bytes == 0)
        {
            let count = u32::try_from(self.owed).unwrap_or(u32::MAX);
            std::thread::sleep(TIME_PER_ANSWER.saturating_mul(count).min(LONGEST_REST));
        }
        self.answer()
    }

    /// Reads the next answer, to a command for which the server may pause this long in addition to its allowed silence.
    pub(super) fn answer_after(&mut self, pause: Duration) -> Result<Answer, Fault> {
        self.answer_within(self.response_timeout.saturating_add(pause))
    }

    /// Reads the next answer if part of it has arrived already.
    pub(super) fn answer_at_hand(&mut self) -> Option<Result<Answer, Fault>> {
        (self.owed > 0 && !self.socket.buffer().is_empty()).then(|| self.answer())
    }

    fn answer_within(&mut self, time: Duration) -> Result<Answer, Fault> {
        if self.ended || self.owed == 0 {
            return Err(Fault::Dropped("it was given up".to_owned()));
        }
        let on_its_way = self.unanswered.min(ON_ITS_WAY);
        let time = time
            + if on_its_way < SLOWEST / 8 {
                Duration::ZERO
            } else {
                Duration::from_secs_f64(on_its_way as f64 / SLOWEST as f64)
            };
        if self.read_timeout != time {
            self.socket.get_ref().set_read_timeout(Some(time)).map_err(unreachable)?;
            self.read_timeout = time;
        }
        let fault = match self.reading.next(&mut self.socket) {
            Ok(answer) => {
                self.owed -= 1;
                self.unanswered = 0;
                return Ok(answer);
            }
            Err(ReadError::Socket(error)) => ended(&error, time),
            Err(ReadError::Answer(fault)) => fault,
        };
        self.ended |= !matches!(fault, Fault::Silent(_));
        Err(fault)
    }

    /// Sends commands and reads their answers.
    pub(super) fn ask(&mut self, commands: &Commands) -> Result<Vec<Answer>, Fault> {
        self.send(commands)?;
        (0..commands.len()).map(|_| self.answer_of_many()).collect()
    }

    /// Sends one command and reads its answer.
    pub(super) fn ask_one(
        &mut self,
        command: impl for<'a> FnOnce(&'a mut Commands) -> &'a mut Commands,
    ) -> Result<Answer, Fault> {
        let mut commands = Commands::new();
        command(&mut commands);
        self.send(&commands)?;
        self.answer()
    }

    /// Checks that the server and this connection work.
    pub(super) fn ping(&mut self) -> Result<(), Fault> {
        let answer = self.ask_one(Commands::list_tube_used)?;
        answer.expect(&Answer::Using).inspect_err(|_| self.ended = true)
    }

    /// Gives up the connection, because an answer did not belong to its command.
    pub(super) fn give_up(&mut self) {
        self.ended = true;
    }

    /// Returns the tube that a `put` goes to, after everything that was sent.
    pub(super) fn using(&self) -> Option<&str> {
        self.using.as_deref()
    }

    /// Records that a `use` was sent.
    pub(super) fn now_uses(&mut self, tube: &str) {
        self.using = Some(tube.to_owned());
    }
}

fn unreachable(error: io::Error) -> Fault {
    Fault::Unreachable(error.to_string())
}

fn ended(error: &io::Error, time: Duration) -> Fault {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Fault::Silent(time),
        _ => Fault::Dropped(error.to_string()),
    }
}

/// Resolves the addresses of the server; repeated for each connection.
fn addresses(server: &Server) -> Result<Vec<SocketAddr>, Fault> {
    let Server { host, port, response_timeout } = server;
    if host.contains('/') || host.starts_with("unix:") {
        let what = format!("expected the name or address of a host, got {host:?}: unix sockets are not supported");
        return Err(Fault::Unreachable(what));
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![(ip, *port).into()]);
    }
    static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
    let busy = || Fault::Unreachable(format!("looking up {host:?} takes too long"));
    if LOOKUPS.fetch_add(1, Ordering::SeqCst) >= MOST_LOOKUPS {
        LOOKUPS.fetch_sub(1, Ordering::SeqCst);
        return Err(busy());
    }
    let (found, result) = mpsc::sync_channel(1);
    let name = (host.clone(), *port);
    let look_up = move || {
        let addresses = (name.0.as_str(), name.1).to_socket_addrs().map(Vec::from_iter);
        LOOKUPS.fetch_sub(1, Ordering::SeqCst);
        // The caller may have given up.
        let _ = found.send(addresses);
    };
    let thread = std::thread::Builder::new().name("pulpo-beanstalkd-name".to_owned()).spawn(look_up);
    if let Err(error) = thread {
        LOOKUPS.fetch_sub(1, Ordering::SeqCst);
        return Err(Fault::Unreachable(format!("no thread to look up {host:?}: {error}")));
    }
    match result.recv_timeout(*response_timeout) {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => Err(Fault::Unreachable(format!("the name {host:?} does not resolve: {error}"))),
        Err(_) => Err(busy()),
    }
}

#[cfg(unix)]
fn prepare(socket: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;

    sockopt::set_socket_send_buffer_size(socket, SEND_BUFFER)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(socket, KEEPALIVE / 6)?;
    sockopt::set_tcp_keepcnt(socket, 3)?;
    Ok(())
}

#[cfg(not(unix))]
fn prepare(_: &TcpStream) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests;
