//! A worker whose messages contain addresses of people, for tests of which parts of a message are
//! kept and which are erased.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A mail to somebody, and the outcome to produce.
#[derive(Debug, Serialize, Deserialize)]
struct Mail {
    to: String,
    /// `fails`, `bounces`, `panics`, `dies` or `waits`; otherwise it is sent.
    #[serde(default)]
    comes_to: String,
    /// Makes the body long.
    #[serde(default)]
    text: String,
}

#[pulpo::handler("mail", max_attempts = 3, backoff = "20ms", ttr = "6s")]
fn mail(mail: Mail, context: &pulpo::Context) -> pulpo::Outcome {
    let Mail { to, comes_to, text } = mail;
    match comes_to.as_str() {
        "fails" => Err(format!("cannot reach {to}").into()),
        "bounces" => Err(pulpo::fatal(format!("{to} is not an address"))),
        "panics" if context.attempt() == 1 => panic!("nobody knows {to}"),
        "dies" if context.attempt() == 1 => std::process::abort(),
        "waits" => wait(),
        _ => Ok(context.result(&serde_json::json!({ "sent_to": to, "bytes": text.len() }))?),
    }
}

/// Reports that it runs, and runs until the file that `RELEASE` names exists.
fn wait() -> pulpo::Outcome {
    let file = std::env::var("RECORD")?;
    std::fs::OpenOptions::new().create(true).append(true).open(file)?.write_all(b"waits\n")?;
    let release = std::env::var("RELEASE")?;
    let end = Instant::now() + Duration::from_secs(60);
    while !std::path::Path::new(&release).exists() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

pulpo::main!();
