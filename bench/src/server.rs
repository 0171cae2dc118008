//! The performance of beanstalkd alone: through the client crate, and by hand with many commands in
//! one write.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use beanstalkc::Beanstalkc;
use pulpo_bench::Email;

use crate::measure::BATCH;

const TUBE: &str = "limit";
const PRIORITY: u32 = 1024;
const TTR: Duration = Duration::from_secs(60);

fn json(number: u64) -> Vec<u8> {
    serde_json::to_vec(&Email::numbered(number)).unwrap()
}

fn connect(port: u16) -> Beanstalkc {
    let mut client = Beanstalkc::new().host("127.0.0.1").port(port).connect().unwrap();
    client.use_tube(TUBE).unwrap();
    client.watch(TUBE).unwrap();
    client.ignore("default").unwrap();
    client
}

/// Sends one `put` after the other on each of these connections; returns jobs per second.
pub(crate) fn publish(port: u16, connections: u64, time: Duration) -> f64 {
    let clients: Vec<_> = (0..connections).map(|_| connect(port)).collect();
    let (next, started) = (AtomicU64::new(0), Instant::now());
    thread::scope(|scope| {
        for mut client in clients {
            let next = &next;
            scope.spawn(move || {
                while started.elapsed() < time {
                    client.put(&json(next.fetch_add(1, Relaxed)), PRIORITY, Duration::ZERO, TTR).unwrap();
                }
            });
        }
    });
    next.load(Relaxed) as f64 / started.elapsed().as_secs_f64()
}

/// `reserve` and `delete` through the crate on each of these connections, until the queue is empty;
/// returns jobs per second.
pub(crate) fn drain(port: u16, connections: u64, jobs: u64) -> f64 {
    fill(port, jobs);
    let clients: Vec<_> = (0..connections).map(|_| connect(port)).collect();
    let started = Instant::now();
    thread::scope(|scope| {
        for mut client in clients {
            scope.spawn(move || {
                while let Ok(job) = client.reserve_with_timeout(Duration::ZERO) {
                    read(job.body());
                    let id = job.id();
                    client.delete(id).unwrap();
                }
            });
        }
    });
    jobs as f64 / started.elapsed().as_secs_f64()
}

fn read(body: &[u8]) {
    let email: Email = serde_json::from_slice(body).unwrap();
    std::hint::black_box(email.number());
}

/// A connection that speaks the protocol by hand.
struct Raw {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Raw {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut raw = Self { stream: BufReader::with_capacity(1 << 16, stream), line: String::new() };
        for command in [format!("use {TUBE}"), format!("watch {TUBE}"), "ignore default".into()] {
            raw.write(format!("{command}\r\n").as_bytes());
            raw.read_line();
        }
        raw
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    fn read_line(&mut self) -> &str {
        self.line.clear();
        self.stream.read_line(&mut self.line).unwrap();
        self.line.trim_end()
    }

    fn expect(&mut self, start: &str) {
        let line = self.read_line();
        assert!(line.starts_with(start), "wanted {start}, got {line}");
    }

    /// Reads the answer to one `reserve`.
    fn reserved(&mut self, body: &mut Vec<u8>) -> Option<u64> {
        let line = self.read_line();
        let mut words = line.split(' ');
        match words.next() {
            Some("RESERVED") => {
                let id = words.next().unwrap().parse().unwrap();
                let size: usize = words.next().unwrap().parse().unwrap();
                body.resize(size + 2, 0);
                self.stream.read_exact(body).unwrap();
                body.truncate(size);
                Some(id)
            }
            Some("TIMED_OUT") => None,
            _ => panic!("unexpected answer {line}"),
        }
    }

    /// Returns how often the job was reserved.
    fn reserves(&mut self, id: u64, text: &mut Vec<u8>) -> u32 {
        self.write(format!("stats-job {id}\r\n").as_bytes());
        let size: usize = self.read_line().strip_prefix("OK ").unwrap().parse().unwrap();
        text.resize(size + 2, 0);
        self.stream.read_exact(text).unwrap();
        let lines = std::str::from_utf8(text).unwrap().lines();
        lines.filter_map(|line| line.strip_prefix("reserves: ")).next().unwrap().parse().unwrap()
    }

    fn put(&mut self, numbers: std::ops::Range<u64>) {
        let mut out = Vec::new();
        let count = numbers.end - numbers.start;
        for number in numbers {
            let body = json(number);
            write!(out, "put {PRIORITY} 0 60 {}\r\n", body.len()).unwrap();
            out.extend_from_slice(&body);
            out.extend_from_slice(b"\r\n");
        }
        self.write(&out);
        (0..count).for_each(|_| self.expect("INSERTED"));
    }
}

fn fill(port: u16, jobs: u64) {
    let mut raw = Raw::connect(port);
    for first in (0..jobs).step_by(BATCH as usize) {
        raw.put(first..(first + BATCH).min(jobs));
    }
}

/// Sends 256 `put`s in one write; returns jobs per second.
pub(crate) fn publish_pipelined(port: u16, time: Duration) -> f64 {
    let (mut raw, started, mut n) = (Raw::connect(port), Instant::now(), 0);
    while started.elapsed() < time {
        raw.put(n..n + BATCH);
        n += BATCH;
    }
    n as f64 / started.elapsed().as_secs_f64()
}

/// Sends `delete` of the last job and the next `reserve` in one write, and another write for `stats-job` if asked for,
/// on each of these connections, until the queue is empty; returns jobs per second.
pub(crate) fn drain_pipelined(port: u16, connections: u64, jobs: u64, with_stats: bool) -> f64 {
    fill(port, jobs);
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(move || {
                let (mut raw, mut body, mut stats, mut last) = (Raw::connect(port), Vec::new(), Vec::new(), None);
                loop {
                    let mut out = Vec::new();
                    if let Some(id) = last {
                        write!(out, "delete {id}\r\n").unwrap();
                    }
                    out.extend_from_slice(b"reserve-with-timeout 0\r\n");
                    raw.write(&out);
                    if last.is_some() {
                        raw.expect("DELETED");
                    }
                    last = raw.reserved(&mut body);
                    let Some(id) = last else { return };
                    if with_stats {
                        std::hint::black_box(raw.reserves(id, &mut stats));
                    }
                    read(&body);
                }
            });
        }
    });
    jobs as f64 / started.elapsed().as_secs_f64()
}

/// Returns the number of commands that the server received so far, without those that other connections
/// sent to open and to look.
pub(crate) fn commands(port: u16) -> u64 {
    let stats = connect(port).stats().unwrap();
    let of_jobs = ["put", "reserve", "delete", "release", "bury", "touch", "kick", "kick-job", "stats-job", "use"];
    let asked = |name: &str| stats.get(&format!("cmd-{name}")).map_or(0, |count| count.parse().unwrap());
    of_jobs.iter().map(|name| asked(name)).sum::<u64>() + asked("reserve-with-timeout")
}
