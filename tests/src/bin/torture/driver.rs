//! The driver: starts the processes, kills them for the given time, lets the workers drain the
//! queue, and verifies the results.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pulpo::queue::QueueError;

use crate::Arguments;
use crate::faults::{self, Choice};
use crate::history::History;
use crate::ledger::{Event, Fault};
use crate::process::{Process, Role};
use crate::report::Report;
use crate::scene::{Kind, Scene};
use crate::verify;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How often the driver checks its processes.
const TICK: Duration = Duration::from_millis(10);
/// How often it removes buried messages.
const COLLECT: Duration = Duration::from_secs(1);
/// Draining the queue, without further kills, ends if no job ends for this time.
const DRAIN: Duration = Duration::from_secs(90);
/// The workers' grace period, which is a second, plus a second, plus the delay of a busy machine.
const STOP: Duration = Duration::from_secs(20);

pub(crate) fn main(arguments: Arguments) -> ExitCode {
    let json = arguments.json;
    match run(&arguments) {
        Ok(report) => {
            let text = if json { report.json() } else { report.table() };
            let _ = writeln!(std::io::stdout(), "{text}");
            if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<Report> {
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let temporary = tempfile::Builder::new().prefix("torture-").tempdir()?;
    let folder = arguments.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
    let mut driver = Driver {
        scene: Scene::new(arguments.queue, &folder)?,
        random: fastrand::Rng::with_seed(seed),
        processes: Vec::new(),
        away: None,
        harms: 0,
        wrong: Vec::new(),
    };
    let collector = Collector::start(&driver.scene)?;
    let began = Instant::now();
    driver.torture(arguments, seed)?;
    let tortured = began.elapsed();
    driver.drain()?;
    let drained = began.elapsed() - tortured;
    collector.end()?;
    driver.scene.collect_left()?;
    let Driver { scene, wrong, .. } = driver;
    drop(scene);

    let history = History::read(&folder)?;
    let mut report = verify::all(&history, arguments.queue, &folder)?;
    report.violations.extend(wrong.into_iter().map(verify::Violation::of_processes));
    report.fill(arguments.queue, seed, [arguments.producers, arguments.workers], tortured, drained);
    if !report.violations.is_empty() && arguments.folder.is_none() {
        report.folder = Some(temporary.keep());
    }
    Ok(report)
}

/// The thread that removes buried messages from the queue. It is separate, because finding them
/// means asking a server for each of its ids.
struct Collector {
    over: mpsc::Sender<()>,
    thread: JoinHandle<std::result::Result<(), QueueError>>,
}

impl Collector {
    fn start(scene: &Scene) -> Result<Self> {
        let desk = scene.desk()?;
        let (over, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            while told.recv_timeout(COLLECT) == Err(RecvTimeoutError::Timeout) {
                match desk.collect_buried() {
                    // If the server is down or starting, try again later.
                    Err(error) if !error.is_transient() => return Err(error),
                    _ => {}
                }
            }
            // By now, the kills are over.
            desk.collect_buried()
        });
        Ok(Self { over, thread })
    }

    fn end(self) -> Result<()> {
        drop(self.over);
        Ok(self.thread.join().map_err(|_| "the collector panicked")??)
    }
}

struct Driver {
    scene: Scene,
    random: fastrand::Rng,
    processes: Vec<Process>,
    /// The server that was killed last, and when to start it again.
    away: Option<(usize, Instant)>,
    /// How many faults there were.
    harms: usize,
    /// Wrong behaviour of processes.
    wrong: Vec<String>,
}

impl Driver {
    fn torture(&mut self, arguments: &Arguments, seed: u64) -> Result<()> {
        let roles = std::iter::repeat_n(Role::Producer, arguments.producers)
            .chain(std::iter::repeat_n(Role::Worker, arguments.workers));
        for (index, role) in roles.enumerate() {
            let mut process = Process::new(role, index, seed.wrapping_add((index as u64) << 40));
            process.start(&self.scene)?;
            self.processes.push(process);
        }
        let end = Instant::now() + Duration::from_secs(arguments.seconds);
        let mut next = Instant::now() + faults::pause(&mut self.random);
        // Behind a spool, the server has its own schedule of outages.
        let mut outage = (arguments.queue == Kind::Spool).then(Instant::now);
        while Instant::now() < end {
            thread::sleep(TICK);
            self.supervise(true)?;
            if outage.is_some_and(|at| Instant::now() >= at) {
                let length = faults::outage(&mut self.random);
                self.kill_server(length);
                // It is down for a third of the time.
                outage = Some(Instant::now() + 3 * length);
            }
            if Instant::now() >= next {
                self.harm(outage.is_none())?;
                next = Instant::now() + faults::pause(&mut self.random);
            }
        }
        self.start_server_again();
        Ok(())
    }

    /// Kills one of the servers for this time.
    fn kill_server(&mut self, length: Duration) {
        // A server that is down is started first.
        self.start_server_again();
        let index = self.random.usize(..self.scene.servers.len());
        let server = self.scene.servers[index].host_and_port();
        self.scene.ledger.write(Event::ServerKilled { server });
        self.scene.servers[index].kill();
        // It may have run for a while after the previous entry.
        self.scene.ledger.write(Event::ServerGone);
        self.away = Some((index, Instant::now() + length));
    }

    fn start_server_again(&mut self) {
        if let Some((index, _)) = self.away.take() {
            self.scene.servers[index].restart();
        }
    }

    fn harm(&mut self, servers_too: bool) -> Result<()> {
        let number = self.harms;
        self.harms += 1;
        match faults::choose(&mut self.random, number, servers_too && !self.scene.servers.is_empty()) {
            Choice::Server => {
                let length = Duration::from_millis(self.random.u64(..400));
                self.kill_server(length);
            }
            Choice::Process(role, fault) => {
                let of_role = |process: &&mut Process| {
                    process.role == role && process.is_running() && process.paused_until.is_none() && !process.stopping
                };
                let mut processes: Vec<_> = self.processes.iter_mut().filter(of_role).collect();
                if processes.is_empty() {
                    return Ok(());
                }
                let victim = processes.swap_remove(self.random.usize(..processes.len()));
                victim.suffer(fault, &self.scene)?;
                if fault == Fault::Pause {
                    victim.paused_until = Some(Instant::now() + faults::standstill(&mut self.random));
                }
            }
        }
        Ok(())
    }

    /// Restarts processes that have ended, and resumes those that have paused long enough.
    fn supervise(&mut self, producing: bool) -> Result<()> {
        if self.away.is_some_and(|(_, until)| Instant::now() >= until) {
            self.start_server_again();
        }
        for process in &mut self.processes {
            if process.paused_until.is_some_and(|until| Instant::now() >= until) {
                process.resume()?;
            }
            if let Some(status) = process.ended(&self.scene)?
                && let Some(code) = status.code()
                && code != 0
            {
                self.wrong.push(format!("{} ended with exit code {code}: see the logs", process.name));
            }
            if !process.is_running() && (producing || process.role == Role::Worker) {
                process.start(&self.scene)?;
            }
        }
        Ok(())
    }

    /// Waits until all jobs have ended, without kills.
    fn drain(&mut self) -> Result<()> {
        self.scene.end_producers()?;
        let mut end = Instant::now() + DRAIN;
        let (mut quiet, mut least) = (0, u64::MAX);
        // Check twice, because a process that was paused may still publish its last job.
        while quiet < 2 && Instant::now() < end {
            thread::sleep(10 * TICK);
            self.supervise(false)?;
            let producing = self.processes.iter().any(|process| process.role == Role::Producer && process.is_running());
            let pending = self.scene.pending();
            if let Some(fewer) = pending.as_ref().ok().filter(|pending| **pending < least) {
                (least, end) = (*fewer, Instant::now() + DRAIN);
            }
            quiet = if !producing && pending.is_ok_and(|pending| pending == 0) { quiet + 1 } else { 0 };
        }
        self.stop()
    }

    /// Stops the workers, each of which must end in time.
    fn stop(&mut self) -> Result<()> {
        for process in &mut self.processes {
            process.suffer(Fault::Stop, &self.scene)?;
        }
        let end = Instant::now() + STOP;
        let mut late = String::new();
        for process in &mut self.processes {
            while process.is_running() && process.ended(&self.scene)?.is_none() {
                if Instant::now() >= end {
                    let _ = write!(late, " {}", process.name);
                    break;
                }
                thread::sleep(TICK);
            }
        }
        if !late.is_empty() {
            self.wrong.push(format!("told to stop, and still there after {STOP:?}:{late}"));
        }
        Ok(())
    }
}
