//! A hostile hour at a worker's endpoint, shortened to the number of seconds that
//! `PULPO_HOSTILE_SECONDS` sets.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pulpo_tests::http::{ANYWHERE, Usage, address, get, starved, starved_here, status};
use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;

use super::WORKER;

/// The attackers open more connections than this, at once and again and again.
const DESCRIPTORS: &str = "256";
const IDLE: usize = 400;

/// The maximum duration of nearly all health checks, in addition to the time in which both sides wait for a processor
/// because the machine is busy.
const BOUND: Duration = Duration::from_secs(1);

/// The shared state of all attackers.
struct Attack {
    address: SocketAddr,
    over: AtomicBool,
    /// How often each of them has completed a round.
    rounds: [AtomicU64; ATTACKERS.len()],
}

/// Ends the attack when dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

type Attacker = fn(&Attack) -> std::io::Result<()>;

/// The attackers, each with a function for one round.
const ATTACKERS: [(&str, Attacker); 11] = [
    ("slow", slow),
    ("huge bodies", huge_bodies),
    ("noise", noise),
    ("idle", idle),
    ("unread", unread),
    ("endless chunks", endless_chunks),
    ("endless header", endless_header),
    ("many headers", many_headers),
    ("keep alive", keep_alive),
    ("gone at once", gone_at_once),
    ("scrapes", scrapes),
];

impl Attack {
    fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = TcpStream::connect(self.address)?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        socket.set_write_timeout(Some(Duration::from_millis(200)))?;
        Ok(socket)
    }

    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::SeqCst)
    }

    /// Sends these bytes on a separate connection, and reads some of the answer.
    fn send(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut socket = self.connect()?;
        socket.write_all(bytes)?;
        socket.read_to_end(&mut Vec::new()).map(drop)
    }

    fn run(&self, number: usize) {
        while self.goes_on() {
            // All attackers must expect to be disconnected.
            let _ = ATTACKERS[number].1(self);
            self.rounds[number].fetch_add(1, Ordering::SeqCst);
            // Leave the processor to the worker and the health checks too.
            thread::park_timeout(Duration::from_millis(50));
        }
    }
}

fn slow(attack: &Attack) -> std::io::Result<()> {
    let sockets = (0..20).map(|_| attack.connect()).collect::<Result<Vec<_>, _>>()?;
    for byte in b"GET /healthz HTTP/1.1\r\nHost: a\r\nSlow: very, very slow\r\n" {
        for mut socket in &sockets {
            let _ = socket.write_all(&[*byte]);
        }
        thread::park_timeout(Duration::from_millis(50));
        if !attack.goes_on() {
            break;
        }
    }
    Ok(())
}

fn huge_bodies(attack: &Attack) -> std::io::Result<()> {
    for method in ["GET", "POST", "PUT"] {
        for path in ["/healthz", "/metrics", "/"] {
            let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000000\r\n\r\n");
            attack.send(request.as_bytes())?;
            let mut socket = attack.connect()?;
            socket.write_all(request.as_bytes())?;
            for _ in 0..50 {
                socket.write_all(&[b'x'; 64 * 1024])?;
            }
        }
    }
    Ok(())
}

fn noise(attack: &Attack) -> std::io::Result<()> {
    let mut random = fastrand::Rng::with_seed(attack.rounds[2].load(Ordering::SeqCst));
    let length = random.usize(..2000);
    let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
    let _ = attack.send(&bytes);
    // A client that speaks TLS, one that speaks HTTP/2, and other mistakes.
    let _ = attack.send(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n");
    let _ = attack.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0");
    let _ = attack.send(b"GET /healthz HTTP/1.1\r\nContent-Length: -7\r\n\r\n");
    let _ = attack.send(b"GET /healthz HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n");
    let _ = attack.send(b"GET /healthz HTTP/9.9\n\n");
    let _ = attack.send(b"GET /../../etc/passwd%00 HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n");
    attack.send(b"\0\0\0\0\r\n\r\n")
}

fn idle(attack: &Attack) -> std::io::Result<()> {
    let sockets: Vec<_> = (0..IDLE).filter_map(|_| attack.connect().ok()).collect();
    let end = Instant::now() + Duration::from_secs(1);
    while attack.goes_on() && Instant::now() < end {
        thread::park_timeout(Duration::from_millis(10));
    }
    drop(sockets);
    Ok(())
}

fn unread(attack: &Attack) -> std::io::Result<()> {
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let mut socket = attack.connect()?;
        for _ in 0..20 {
            socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")?;
        }
        sockets.push(socket);
    }
    thread::park_timeout(Duration::from_millis(300));
    Ok(())
}

fn endless_chunks(attack: &Attack) -> std::io::Result<()> {
    let mut socket = attack.connect()?;
    socket.write_all(b"POST /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    for _ in 0..1_000 {
        socket.write_all(b"5\r\nhello\r\n")?;
    }
    Ok(())
}

/// Sends 100 MB of header, unless it is disconnected before.
fn endless_header(attack: &Attack) -> std::io::Result<()> {
    let mut socket = attack.connect()?;
    socket.write_all(b"GET / HTTP/1.1\r\nX: ")?;
    let piece = vec![b'a'; 1_000_000];
    for _ in 0..100 {
        socket.write_all(&piece)?;
    }
    Ok(())
}

fn many_headers(attack: &Attack) -> std::io::Result<()> {
    let mut socket = attack.connect()?;
    socket.write_all(b"GET / HTTP/1.1\r\n")?;
    for number in 0..100_000 {
        socket.write_all(format!("X-{number}: y\r\n").as_bytes())?;
    }
    Ok(())
}

fn keep_alive(attack: &Attack) -> std::io::Result<()> {
    let mut sockets = Vec::new();
    for _ in 0..20 {
        let mut socket = attack.connect()?;
        socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")?;
        let _ = socket.read(&mut [0; 1000])?;
        sockets.push(socket);
    }
    thread::park_timeout(Duration::from_millis(300));
    Ok(())
}

fn gone_at_once(attack: &Attack) -> std::io::Result<()> {
    for _ in 0..20 {
        // With unread data on both sides, so that it ends with a reset.
        attack.connect()?.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\nGET")?;
    }
    Ok(())
}

/// Behaves like a far too eager monitoring system.
fn scrapes(attack: &Attack) -> std::io::Result<()> {
    let _ = get(attack.address, "/readyz");
    let _ = get(attack.address, "/metrics");
    Ok(())
}

#[test]
fn a_hostile_hour_takes_nothing_from_jobs_and_health_checks() {
    let seconds = std::env::var("PULPO_HOSTILE_SECONDS").ok().map_or(6, |said| said.parse().expect("whole seconds"));
    let place = Sandbox::new();
    // Under a shell that lowers the limit.
    let script = format!("ulimit -n {DESCRIPTORS}; exec \"$0\" \"$@\"");
    let arguments = ["-c", &script, WORKER, "work", "--concurrency", "2", ANYWHERE[0], ANYWHERE[1]];
    let mut worker = place.start(place.command("sh", &arguments));
    let address = address(&place);
    let mut published = 0;
    let mut publish = || {
        let said = place.run(WORKER, &["publish", "talk", "--payload", "hello", "--count", "3"]);
        assert_eq!(said.code, 0, "{}", said.err);
        published += 3;
        published
    };
    let done = || place.record().lines().count();
    // Everything that exists from the beginning: pages, threads, the first jobs.
    until("it is ready", || status(address, "/readyz") == 200);
    let first = publish();
    until("the first jobs are done", || done() == first);
    for _ in 0..20 {
        assert_eq!(status(address, "/metrics"), 200);
    }
    let id = worker.id();
    let before = Usage::of(id);

    let attack = Attack { address, over: AtomicBool::new(false), rounds: Default::default() };
    let (mut checks, mut slow, mut slowest, mut most) = (0, 0, Duration::ZERO, before);
    let (mut all, mut again) = (0, 0);
    thread::scope(|scope| {
        // Also if this panics, because the scope waits for its threads.
        let over = Over(&attack.over);
        for number in 0..ATTACKERS.len() {
            let attack = &attack;
            scope.spawn(move || attack.run(number));
        }
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut failed = None;
        // A busy machine takes longer for a round of each of them.
        let has_seen_all = || attack.rounds.iter().all(|rounds| rounds.load(Ordering::SeqCst) > 0);
        let at_most = end + Duration::from_secs(120);
        while (Instant::now() < end || !has_seen_all() && Instant::now() < at_most) && failed.is_none() {
            let waited = || starved_here() + starved(id, "pulpo-http");
            let (began, before) = (Instant::now(), waited());
            let mut answer = get(address, "/healthz");
            // On an overloaded machine, hundreds of requests may come between our connection and
            // our request. In that case, ask again.
            while answer.is_none() && began.elapsed() < 10 * BOUND {
                again += 1;
                answer = get(address, "/healthz");
            }
            let took = began.elapsed().saturating_sub(waited().saturating_sub(before));
            slow += u32::from(took >= BOUND);
            slowest = slowest.max(took);
            checks += 1;
            if answer.as_ref().is_none_or(|(code, _)| *code != 200) {
                failed = Some(answer);
            }
            let now = Usage::of(id);
            most.threads = most.threads.max(now.threads);
            most.descriptors = most.descriptors.max(now.descriptors);
            most.peak_kib = now.peak_kib;
            if checks % 10 == 1 {
                all = publish();
            }
            thread::park_timeout(Duration::from_millis(20));
        }
        drop(over);
        assert_eq!(failed, None, "after {checks} checks: {}", place.log());
    });
    let rounds: Vec<_> =
        ATTACKERS.iter().zip(&attack.rounds).map(|((name, _), rounds)| (name, rounds.load(Ordering::SeqCst))).collect();
    let seen = format!(
        "{checks} checks and {again} again, the slowest took {slowest:?}; {all} jobs; {before:?}, then {most:?}; {rounds:?}"
    );
    assert!(rounds.iter().all(|(_, rounds)| *rounds > 0), "{seen}");
    // The machine itself may stand still for a moment.
    assert!(slow <= 2 + checks / 20, "{slow} health checks took longer than {BOUND:?}: {seen}");
    assert!(again <= checks, "more were thrown out than answered: {seen}");
    until("all jobs are done", || done() == all);
    // The text of a few dozen simultaneous requests and answers.
    assert!(most.peak_kib < before.peak_kib + 16 * 1024, "{seen}");
    // One for each of three queries, and the previous one, which is about to end.
    assert!(most.threads <= before.threads + 6, "{seen}");
    // A quarter of them for connections, and one that is being accepted.
    assert!(most.descriptors <= before.descriptors + 64 + 8, "{seen}");
    let log = place.log();
    assert!(log.lines().count() < 30 + 4 * all, "{} lines: {log}", log.lines().count());
    assert!(!worker.has_ended());
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

#[test]
fn a_process_that_is_out_of_descriptors_answers_and_says_so_once() {
    let place = Sandbox::new();
    let worker = place.start(place.command(WORKER, &["work", ANYWHERE[0], ANYWHERE[1]]));
    let address = address(&place);
    until("it is ready", || status(address, "/readyz") == 200);
    // Its lanes open more of them after that.
    let mut last = (0, 0);
    until("it has opened all that it needs", || {
        let descriptors = Usage::of(worker.id()).descriptors;
        last = if last.0 == descriptors { (descriptors, last.1 + 1) } else { (descriptors, 0) };
        last.1 >= 300 && place.log().contains("the worker starts")
    });
    // Three are left, while it has room for many more connections.
    let limit = format!("--nofile={}", Usage::of(worker.id()).descriptors + 3);
    let limited = Command::new("prlimit").args(["--pid", &worker.id().to_string(), &limit]).status();
    assert!(limited.expect("prlimit is there").success());
    let idle: Vec<_> = (0..100).map(|_| TcpStream::connect(address).expect("connected")).collect();
    let trouble = "cannot accept connections over HTTP, trying again";
    until("it is logged", || place.log().contains(trouble));
    for _ in 0..50 {
        until("it is alive", || status(address, "/healthz") == 200);
    }
    assert_eq!(place.log().matches(trouble).count(), 1, "{}", place.log());
    drop(idle);
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}
