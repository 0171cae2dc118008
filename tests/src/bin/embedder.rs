//! A program that has pulpo in it and does other things too: its arguments say
//! which.

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use pulpo::Pulpo;
use serde::{Deserialize, Serialize};

/// An action: `note TEXT`, `chdir FOLDER`, `nap MILLISECONDS`.
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
    write_down(&action)?;
    Ok(())
}

/// One line, in one write, so that those of several processes do not mix.
fn write_down(what: &str) -> std::io::Result<()> {
    let file = std::env::var_os("RECORD").ok_or(std::io::ErrorKind::NotFound)?;
    let line = format!("{} {what}\n", std::process::id());
    std::fs::OpenOptions::new().create(true).append(true).open(file)?.write_all(line.as_bytes())?;
    Ok(())
}

type Done = Result<(), Box<dyn Error>>;

fn pulpo() -> Result<Pulpo, Box<dyn Error>> {
    Ok(Pulpo::new(pulpo::Config::load()?)?)
}

/// Works until it is told to stop.
fn work() -> Done {
    pulpo()?.work()?;
    Ok(())
}

/// Works as it is told, and goes on with something else: for ever, if no signal
/// ends it.
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

/// A handler for SIGINT of this program's own, which writes down what it gets.
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
        // One that has nothing to do with the signals of a worker.
        "other" => drop(signal_hook::flag::register(signal_hook::consts::SIGWINCH, Arc::default())?),
        _ => return Err("expected a handler".into()),
    }
    Ok(())
}

/// Publishes before and after a change of the folder.
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
        ["wander", folder] => wander(folder),
        _ => Err("expected a way to embed pulpo".into()),
    }
}
