//! A program that has pulpo in it and does other things too: its arguments say
//! which.

use std::error::Error;
use std::io::Write as _;

use serde::{Deserialize, Serialize};

/// An action: `note TEXT`, `chdir FOLDER`.
#[derive(Debug, Serialize, Deserialize)]
struct Embedded(String);

#[pulpo::handler("embedded")]
fn embedded(Embedded(action): Embedded) -> pulpo::Outcome {
    if let Some(folder) = action.strip_prefix("chdir ") {
        std::env::set_current_dir(folder)?;
    }
    write_down(&action)
}

/// One line, in one write, so that those of several processes do not mix.
fn write_down(what: &str) -> pulpo::Outcome {
    let file = std::env::var("RECORD")?;
    let line = format!("{} {what}\n", std::process::id());
    std::fs::OpenOptions::new().create(true).append(true).open(file)?.write_all(line.as_bytes())?;
    Ok(())
}

/// Works until it is told to stop.
fn work() -> Result<(), Box<dyn Error>> {
    pulpo::Pulpo::new(pulpo::Config::load()?)?.work()?;
    Ok(())
}

/// Publishes before and after a change of the folder.
fn wander(folder: &str) -> Result<(), Box<dyn Error>> {
    pulpo::initialize(pulpo::Config::load()?)?;
    pulpo::publish(Embedded("note before".to_owned()))?;
    std::env::set_current_dir(folder)?;
    pulpo::publish(Embedded("note after".to_owned()))?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["work"] => work(),
        ["publish", action] => {
            pulpo::publish(Embedded((*action).to_owned()))?;
            Ok(())
        }
        ["wander", folder] => wander(folder),
        _ => Err("expected a way to embed pulpo".into()),
    }
}
