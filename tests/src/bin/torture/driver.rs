//! The driver: starts the processes, kills them for as long as it was told,
//! lets the workers work off what is left, and has it all verified.

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

/// How often it looks after its processes.
const TICK: Duration = Duration::from_millis(10);
/// How often it takes buried messages out.
const COLLECT: Duration = Duration::from_secs(1);
/// In this time everything that is left is worked off, with no more kills.
const DRAIN: Duration = Duration::from_secs(90);
/// The grace of the workers, which is a second, and a second, and what a busy
/// machine takes to notice.
const STOP: Duration = Duration::from_secs(4);

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

/// The thread that takes buried messages out of the queue. It is one of its
/// own, since a server is asked for each of its ids to find them.
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
                    // A server that is down or comes up: later.
                    Err(error) if !error.is_transient() => return Err(error),
                    _ => {}
                }
            }
            // By now nothing is killed any more.
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
    /// The server that was killed last, and when it is started again.
    away: Option<(usize, Instant)>,
    /// What processes did that they should not.
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
        // Behind a spool the server has times of its own.
        let mut outage = (arguments.queue == Kind::Spool).then(Instant::now);
        while Instant::now() < end {
            thread::sleep(TICK);
            self.tend(true)?;
            if outage.is_some_and(|at| Instant::now() >= at) {
                let length = faults::outage(&mut self.random);
                self.kill_server(length);
                // Away for a third of the time.
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

    /// One of them, for this time.
    fn kill_server(&mut self, length: Duration) {
        // One that is away comes back first.
        self.start_server_again();
        let index = self.random.usize(..self.scene.servers.len());
        self.scene.ledger.write(Event::ServerKilled);
        self.scene.servers[index].kill();
        // It may have gone on for a while.
        self.scene.ledger.write(Event::ServerGone);
        self.away = Some((index, Instant::now() + length));
    }

    fn start_server_again(&mut self) {
        if let Some((index, _)) = self.away.take() {
            self.scene.servers[index].restart();
        }
    }

    fn harm(&mut self, servers_too: bool) -> Result<()> {
        match faults::choose(&mut self.random, servers_too && !self.scene.servers.is_empty()) {
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

    /// Starts again what has ended, and lets go on what has paused enough.
    fn tend(&mut self, producing: bool) -> Result<()> {
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

    /// Without kills, all comes to its end.
    fn drain(&mut self) -> Result<()> {
        self.scene.end_producers()?;
        let end = Instant::now() + DRAIN;
        let mut quiet = 0;
        // Twice, since a process that was paused may publish its last.
        while quiet < 2 && Instant::now() < end {
            thread::sleep(10 * TICK);
            self.tend(false)?;
            let producing = self.processes.iter().any(|process| process.role == Role::Producer && process.is_running());
            let pending = self.scene.pending();
            quiet = if !producing && pending.is_ok_and(|pending| pending == 0) { quiet + 1 } else { 0 };
        }
        self.stop()
    }

    /// Has the workers end, each in time.
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
