//! HTTP requests to a worker, and measurements of the resources that they cost.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::program::Sandbox;
use crate::wait::until;

/// Final arguments for a worker that should listen on a free port.
pub const ANYWHERE: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// Waits until the worker that logs into this sandbox listens, and returns its address.
///
/// # Panics
/// Panics if it does not start to listen.
#[must_use]
pub fn address(place: &Sandbox) -> SocketAddr {
    let mut address = None;
    until("the worker listens", || {
        let log = place.log();
        let line = log.lines().find(|line| line.contains("answering /metrics"));
        let said = line.and_then(|line| line.split("address=").nth(1)?.split(' ').next()?.parse().ok());
        address = said;
        address.is_some()
    });
    address.expect("just found")
}

/// Requests a page. Returns its status and its text.
#[must_use]
pub fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let answer = exchange(address, format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    let (head, text) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, text.to_owned()))
}

/// Returns the status of a page; 0 if there is no answer.
#[must_use]
pub fn status(address: SocketAddr, path: &str) -> u16 {
    get(address, path).map_or(0, |(status, _)| status)
}

/// Sends these bytes and reads until the connection ends.
#[must_use]
pub fn exchange(address: SocketAddr, request: &[u8]) -> Option<String> {
    let mut socket = TcpStream::connect(address).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    socket.write_all(request).ok()?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).ok()?;
    String::from_utf8(answer).ok()
}

/// The answer of a server.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 0 if there was no answer.
    pub status: u16,
    head: String,
    /// The text.
    pub body: String,
}

impl Answer {
    /// Returns the value of a header, given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.split_once(": ").filter(|(of, _)| *of == name)).map(|(_, value)| value)
    }
}

/// Sends a request as a browser does: with these headers, and a form unless it is empty.
#[must_use]
pub fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], form: &str) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        request.push_str(&format!("Host: {address}\r\n"));
    }
    headers.iter().for_each(|(name, value)| request.push_str(&format!("{name}: {value}\r\n")));
    if method == "POST" {
        let kind = "Content-Type: application/x-www-form-urlencoded";
        request.push_str(&format!("{kind}\r\nContent-Length: {}\r\n", form.len()));
    }
    let answer = exchange(address, format!("{request}\r\n{form}").as_bytes()).unwrap_or_default();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// Returns the value of a metric, given with its labels as written.
#[must_use]
pub fn value(text: &str, metric: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' ')?.parse().ok())
}

/// The resources that a process uses.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Its peak memory, in KiB.
    pub peak_kib: u64,
    /// The number of its threads.
    pub threads: u64,
    /// The number of its open file descriptors.
    pub descriptors: u64,
}

impl Usage {
    /// Measures a process.
    ///
    /// # Panics
    /// Panics if the system does not report it, for example because the process has ended.
    #[must_use]
    pub fn of(process: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("a line of the status");
            line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
        };
        let descriptors = std::fs::read_dir(format!("/proc/{process}/fd")).expect("a process").count() as u64;
        Self { peak_kib: number("VmHWM:"), threads: number("Threads:"), descriptors }
    }
}

/// Returns how long all threads of this name in a process have waited for a processor so far. Zero
/// if the system does not count it.
#[must_use]
pub fn starved(process: u32, thread: &str) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let named = tasks
        .filter(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim_end() == thread));
    named.map(|task| waited(&task.path().join("schedstat"))).sum()
}

/// Returns the same for the calling thread.
#[must_use]
pub fn starved_here() -> Duration {
    waited("/proc/thread-self/schedstat".as_ref())
}

fn waited(file: &std::path::Path) -> Duration {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let nanos = text.split_whitespace().nth(1).and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}
