//! A program that contains pulpo and does other things too, which its arguments choose.

use std::error::Error;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use fork::{Fork, fork, waitpid};
use pulpo::Pulpo;
use pulpo_tests::http::get;
use serde::{Deserialize, Serialize};

/// An action: `note TEXT`, `chdir FOLDER`, `nap MILLISECONDS`, `fork`.
#[derive(Debug, Serialize, Deserialize)]
struct Embedded(String);

#[pulpo::handler("embedded")]
fn embedded(Embedded(action): Embedded) -> pulpo::Outcome {
    if let Some(folder) = action.strip_prefix("chdir ") {
        std::env::set_current_dir(folder)?;
    }
    if let Some(millis) = action.strip_prefix("nap ") {
        write_down("asleep")?;
        std::thread::sleep(Duration::from_millis(millis.parse()?));
    }
    if action == "fork" {
        return fork_and_return().map_err(|error| pulpo::fatal(error.to_string()));
    }
    write_down(&action)?;
    Ok(())
}

/// Both processes return to the worker.
fn fork_and_return() -> std::io::Result<()> {
    match fork()? {
        Fork::Child => write_down("the child returns"),
        Fork::Parent(child) => {
            let status = waitpid(child)?;
            write_down(&format!("the child ended with {}", status >> 8))
        }
    }
}

/// Writes one line in one write, so that lines of several processes do not mix.
fn write_down(what: &str) -> std::io::Result<()> {
    let file = std::env::var_os("RECORD").ok_or(std::io::ErrorKind::NotFound)?;
    let line = format!("{} {what}\n", std::process::id());
    std::fs::OpenOptions::new().create(true).append(true).open(file)?.write_all(line.as_bytes())?;
    Ok(())
}

/// How much later each fork is than the one before, and when it begins again at once, in microseconds after the threads:
/// within this time, each of them has begun to use all that it uses.
const FORK_LATER: u64 = 17;
const LATEST_FORK: u64 = 1500;

type Done = Result<(), Box<dyn Error>>;

fn pulpo() -> Result<Pulpo, Box<dyn Error>> {
    Ok(Pulpo::new(pulpo::Config::load()?)?)
}

/// Works until it is stopped.
fn work() -> Done {
    pulpo()?.work()?;
    Ok(())
}

/// Works in the given way, and then continues with something else: forever, unless a signal ends it.
fn work_and_stay(how: &str, own_handler: &str) -> Done {
    let (when, which) = own_handler.split_once(' ').unwrap_or_default();
    if when == "before" {
        install(which)?;
    }
    let pulpo = pulpo()?;
    match how {
        "drain" => drop(pulpo.worker()?.drain()?),
        "drain twice" => {
            pulpo.worker()?.drain()?;
            pulpo.worker()?.drain()?;
        }
        "run" => drop(pulpo.worker()?.run()?),
        "run two" => {
            let (one, other) = (pulpo.worker()?, pulpo.worker()?);
            std::thread::scope(|scope| {
                let one = scope.spawn(move || one.run());
                let other = other.run();
                one.join().map_err(|_| "a worker panicked")?.and(other).map_err(Box::<dyn Error>::from)
            })?;
        }
        _ => return Err("expected a way to work".into()),
    }
    if when == "after" {
        install(which)?;
    }
    write_down("returned")?;
    loop {
        std::thread::park();
    }
}

/// Installs this program's own handler for SIGINT, which records the signals that it gets.
fn install(which: &str) -> Done {
    let caught = || write_down("caught").expect("written");
    match which {
        "signal-hook" => {
            let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT])?;
            std::thread::spawn(move || signals.forever().for_each(|_| caught()));
        }
        "tokio" => {
            let (installed, is_installed) = std::sync::mpsc::channel();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(async {
                    use tokio::signal::unix::{SignalKind, signal};
                    let mut interrupts = signal(SignalKind::interrupt()).expect("a handler");
                    installed.send(()).expect("waited for");
                    while interrupts.recv().await.is_some() {
                        caught();
                    }
                });
            });
            is_installed.recv()?;
        }
        "ctrlc" => ctrlc::set_handler(caught)?,
        // A handler for a signal that workers do not use.
        "other" => drop(signal_hook::flag::register(signal_hook::consts::SIGWINCH, Arc::default())?),
        _ => return Err("expected a handler".into()),
    }
    Ok(())
}

/// Records the result of a publication.
fn published(whose: &str, result: Result<pulpo::Message<Embedded>, pulpo::PublishError>) -> std::io::Result<()> {
    match result {
        Ok(message) => write_down(&format!("{whose} published {}", message.id().map_or("nothing", |id| id.as_str()))),
        Err(pulpo::PublishError::Queue(error @ pulpo::queue::QueueError::Forked { .. })) => {
            write_down(&format!("{whose} was refused: {error}"))
        }
        Err(error) => write_down(&format!("{whose} failed: {error:?}")),
    }
}

fn note(whose: &str) -> Embedded {
    Embedded(format!("note of the {whose}"))
}

/// Publishes from async code, each job on its own runtime.
fn publish_async(whose: &str, count: usize) -> Done {
    for _ in 0..count {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        published(whose, runtime.block_on(pulpo::publish_async(note(whose))))?;
    }
    Ok(())
}

fn publish(whose: &str, count: usize) -> std::io::Result<()> {
    (0..count).try_for_each(|_| published(whose, pulpo::publish(note(whose))))
}

/// Forks between publications, and publishes in both processes.
fn publish_and_fork(how: &str) -> Done {
    publish("parent", 2)?;
    publish_async("parent", 2)?;
    match (how, fork()?) {
        (_, Fork::Child) => {
            publish("child", 20)?;
            publish_async("child", 5)?;
            write_down("the child has ended")?;
            std::process::exit(0);
        }
        ("orphan", Fork::Parent(_)) => std::process::exit(0),
        ("together", Fork::Parent(child)) => {
            publish("parent", 20)?;
            waitpid(child)?;
            publish("parent", 20)?;
            Ok(())
        }
        _ => Err("expected a way to fork".into()),
    }
}

/// Forks while other threads publish, and may be creating the default `Pulpo` to do so.
fn publish_and_fork_while_busy(times: usize) -> Done {
    let over = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let over = over.clone();
            std::thread::spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    published("parent", pulpo::publish(note("parent"))).expect("written");
                }
            })
        })
        .collect();
    for _ in 0..times {
        publish_in_a_fork()?;
    }
    over.store(true, Ordering::SeqCst);
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    Ok(())
}

/// Publishes from a fork, both ways, and waits for its end.
fn publish_in_a_fork() -> Done {
    match fork()? {
        Fork::Child => {
            publish("child", 1)?;
            publish_async("child", 1)?;
            std::process::exit(0);
        }
        Fork::Parent(child) => drop(waitpid(child)?),
    }
    Ok(())
}

/// Forks again and again at the moment at which other threads use pulpo for the first time. Each of these is a fork of
/// this process, which uses none of it. A program that has its default `Pulpo` already begins with the publication.
fn fork_at_the_first_use(times: u64) -> Done {
    for round in 0..times {
        if let Fork::Parent(child) = fork()? {
            let status = waitpid(child)?;
            if status != 0 {
                return Err(format!("round {round} ended with {status}").into());
            }
            continue;
        }
        if round % 2 == 0 {
            pulpo::initialize(pulpo::Config::load()?)?;
        }
        let start = Arc::new(Barrier::new(5));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let start = start.clone();
                std::thread::spawn(move || {
                    start.wait();
                    published("parent", pulpo::publish(note("parent"))).expect("written");
                })
            })
            .collect();
        start.wait();
        let (begun, moment) = (Instant::now(), Duration::from_micros(round / 2 * FORK_LATER % LATEST_FORK));
        while begun.elapsed() < moment {
            std::hint::spin_loop();
        }
        publish_in_a_fork()?;
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        std::process::exit(0);
    }
    Ok(())
}

/// Publishes, and works in a fork until the queue is empty.
fn work_in_a_fork() -> Done {
    let pulpo = pulpo()?;
    published("parent", pulpo.publish(note("parent")))?;
    match fork()? {
        Fork::Child => {
            let done = pulpo.worker()?.drain()?.done;
            write_down(&format!("the child has done {done}"))?;
            std::process::exit(0);
        }
        Fork::Parent(child) => drop(waitpid(child)?),
    }
    published("parent", pulpo.publish(note("parent")))?;
    write_down(&format!("the parent has done {}", pulpo.worker()?.drain()?.done))?;
    Ok(())
}

/// Counts two jobs, and then one in a fork and one more here. The environment says where to serve the metrics.
fn count_in_a_fork(address: &str) -> Done {
    let address = address.parse()?;
    let pulpo = pulpo()?;
    publish_and_drain("parent", 2, &pulpo)?;
    match fork()? {
        Fork::Child => count("child", 1, &pulpo, address),
        Fork::Parent(child) => {
            waitpid(child)?;
            count("parent", 3, &pulpo, address)
        }
    }
}

fn publish_and_drain(whose: &str, count: usize, pulpo: &Pulpo) -> Done {
    (0..count).try_for_each(|_| published(whose, pulpo.publish(note(whose))))?;
    pulpo.worker()?.drain()?;
    Ok(())
}

/// Works on one more job until the metrics that this process serves have this many, writes down how many they have, and
/// ends the process.
fn count(whose: &'static str, expected: u64, pulpo: &Pulpo, address: SocketAddr) -> Done {
    published(whose, pulpo.publish(note(whose)))?;
    let queue = pulpo.queue().clone();
    std::thread::spawn(move || {
        let end = Instant::now() + Duration::from_secs(60);
        let done = || {
            let text = get(address, "/metrics").map(|(_, text)| text).unwrap_or_default();
            let lines = text.lines().filter(|line| line.starts_with("pulpo_jobs_done_total{"));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
        };
        // A job is counted before the queue deletes it.
        let is_empty = || queue.stats().is_ok_and(|stats| stats.total() == 0);
        let mut counted = done();
        while (counted < expected || !is_empty()) && Instant::now() < end {
            std::thread::park_timeout(Duration::from_millis(10));
            counted = done();
        }
        write_down(&format!("{whose} counted {counted}")).expect("written");
        std::process::exit(0);
    });
    pulpo.worker()?.run()?;
    Err("expected to work until the job is counted".into())
}

/// Publishes before and after a change of the current folder.
fn wander(folder: &str) -> Done {
    pulpo::initialize(pulpo::Config::load()?)?;
    pulpo::publish(Embedded("note before".to_owned()))?;
    std::env::set_current_dir(folder)?;
    pulpo::publish(Embedded("note after".to_owned()))?;
    Ok(())
}

fn main() -> Done {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["work"] => work(),
        ["publish", action] => {
            pulpo::publish(Embedded((*action).to_owned()))?;
            Ok(())
        }
        ["stay", how] => work_and_stay(how, ""),
        ["stay", how, own_handler] => work_and_stay(how, own_handler),
        ["fork", how] => publish_and_fork(how),
        ["fork-busy", times] => publish_and_fork_while_busy(times.parse()?),
        ["fork-first", times] => fork_at_the_first_use(times.parse()?),
        ["work-in-a-fork"] => work_in_a_fork(),
        ["count-in-a-fork", address] => count_in_a_fork(address),
        ["wander", folder] => wander(folder),
        _ => Err("expected a way to embed pulpo".into()),
    }
}
