//! Real beanstalkd servers, one for each test, on free ports.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take to start, or to come to a stop between two commands, on a machine that does other things
/// too.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The ports of [`free_port`]. The system gives none of them to a program that asks for any port, or to a connection:
/// its own begin at 32768, and on other systems later.
const PORTS: Range<u16> = 12_000..32_000;

/// The options of a server.
#[derive(Clone, Debug, Default)]
pub struct Options {
    port: Option<u16>,
    arguments: Vec<String>,
}

impl Options {
    /// Returns the defaults: without a binlog, on a free port.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Stores its jobs in this folder, with an fsync after each change.
    #[must_use]
    pub fn binlog(mut self, folder: &Path) -> Self {
        self.arguments.extend(["-b".to_owned(), folder.display().to_string(), "-f0".to_owned()]);
        self
    }

    /// Limits the size of a job, in bytes.
    #[must_use]
    pub fn max_job_size(mut self, bytes: u32) -> Self {
        self.arguments.extend(["-z".to_owned(), bytes.to_string()]);
        self
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Panics
    /// Panics if there is no beanstalkd, or it does not start.
    #[must_use]
    pub fn start(self) -> BeanstalkdServer {
        // Another process may take the free port before the server binds it.
        for _ in 0..20 {
            let port = self.port.unwrap_or_else(free_port);
            if let Some(child) = launch(port, &self.arguments) {
                return BeanstalkdServer { child, port, options: self };
            }
        }
        panic!("beanstalkd does not start with {self:?}");
    }
}

/// The system call numbers of epoll_wait and epoll_pwait on x86 and ARM; empty if the system does
/// not report any.
const EPOLL_WAIT: [&str; 4] = ["232", "281", "22", ""];

/// A server, killed on drop.
#[derive(Debug)]
pub struct BeanstalkdServer {
    child: Child,
    port: u16,
    options: Options,
}

impl BeanstalkdServer {
    /// Starts a server with the default options.
    #[must_use]
    pub fn start() -> Self {
        Options::new().start()
    }

    /// Returns the port on which it listens, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends the server with SIGKILL, as a crash would.
    ///
    /// A server with a binlog is ended between two commands. To compact its binlog it removes the
    /// file with the only copy of a job before it writes the job into another file: a crash between
    /// the two loses the job, whatever its clients do.
    ///
    /// # Panics
    /// Panics if this fails.
    pub fn kill(&mut self) {
        if self.options.arguments.iter().any(|argument| argument == "-b") {
            self.stop_between_commands();
        }
        self.child.kill().expect("kill beanstalkd");
        self.child.wait().expect("wait for beanstalkd");
    }

    /// Stops the server while it waits for commands, as far as the system reports that.
    fn stop_between_commands(&self) {
        let place = format!("/proc/{}", self.child.id());
        let read = |name: &str| std::fs::read_to_string(format!("{place}/{name}")).unwrap_or_default();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            self.signal("STOP");
            while !read("status").contains("State:\tT") && Instant::now() < deadline {
                std::thread::yield_now();
            }
            // The number of the system call in which it was stopped.
            let call = read("syscall");
            if call.split(' ').next().is_none_or(|number| EPOLL_WAIT.contains(&number.trim())) {
                return;
            }
            self.signal("CONT");
        }
    }

    /// Starts the server again with the same options, after [`BeanstalkdServer::kill`].
    ///
    /// # Panics
    /// Panics if it does not start.
    pub fn restart(&mut self) {
        let options = self.options.clone().port(self.port);
        let deadline = Instant::now() + PATIENCE;
        self.child = loop {
            if let Some(child) = launch(self.port, &options.arguments) {
                break child;
            }
            assert!(Instant::now() < deadline, "beanstalkd does not start again");
        };
    }

    /// Limits the memory of the server to this much more than it uses now.
    ///
    /// # Panics
    /// Panics if its limit cannot be set.
    pub fn limit_memory(&self, bytes: u64) {
        let id = self.child.id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("what it has");
        let has = status.lines().find_map(|line| line.strip_prefix("VmSize:")).expect("a size");
        let has: u64 = has.trim().trim_end_matches(" kB").parse().expect("a number");
        let limit = format!("--as={}", has * 1024 + bytes);
        let set = Command::new("prlimit").args(["--pid", &id.to_string(), &limit]).status();
        assert!(set.is_ok_and(|status| status.success()), "its memory was not limited");
    }

    /// Sends the server a signal: `USR1` (drain), `STOP`, `CONT`.
    ///
    /// # Panics
    /// Panics if this fails.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.expect("run kill").success(), "kill -{name}");
    }

    /// Sends `words` without a client library and reads one line.
    ///
    /// # Panics
    /// Panics if it does not answer.
    #[must_use]
    pub fn say(&self, words: &str) -> String {
        ask(self.port, words).expect("beanstalkd answers")
    }
}

impl Drop for BeanstalkdServer {
    fn drop(&mut self) {
        // The server may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a port on which nothing listens, and which this process returns only once. So nothing begins to listen
/// there unless the caller has it do so.
///
/// # Panics
/// Panics if no port is free.
#[must_use]
pub fn free_port() -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    // Tests in other processes begin elsewhere.
    let first = std::process::id().wrapping_mul(977);
    let next = || {
        let taken = TAKEN.fetch_add(1, Ordering::Relaxed);
        PORTS.start + u16::try_from(first.wrapping_add(taken) % count).unwrap_or_default()
    };
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    std::iter::repeat_with(next).take(usize::from(PORTS.end - PORTS.start)).find(is_free).expect("a free port")
}

/// Returns `None` if the server exits at once, as it does when the port is taken.
fn launch(port: u16, arguments: &[String]) -> Option<Child> {
    let mut child = Command::new("beanstalkd")
        .args(["-l", "127.0.0.1", "-p", &port.to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("expected beanstalkd to be installed (apt-get install beanstalkd)");
    let deadline = Instant::now() + PATIENCE;
    loop {
        if child.try_wait().expect("wait for beanstalkd").is_some() {
            return None;
        }
        let own = format!("pid: {}", child.id());
        if tell(port, "stats\r\nquit\r\n").is_some_and(|told| told.lines().any(|line| line == own)) {
            return Some(child);
        }
        assert!(Instant::now() < deadline, "beanstalkd does not answer");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// All that it says to these commands, the last of which is `quit`.
fn tell(port: u16, words: &str) -> Option<String> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    socket.set_read_timeout(Some(ANSWER_TIMEOUT)).ok()?;
    socket.write_all(words.as_bytes()).ok()?;
    let mut told = String::new();
    socket.read_to_string(&mut told).ok()?;
    Some(told)
}

fn ask(port: u16, words: &str) -> Option<String> {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    socket.set_read_timeout(Some(ANSWER_TIMEOUT)).ok()?;
    socket.write_all(words.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n") && socket.read(&mut byte).ok()? == 1 {
        answer.push(byte[0]);
    }
    String::from_utf8(answer).ok()
}
