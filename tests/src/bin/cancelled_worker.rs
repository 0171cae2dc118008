//! A worker whose jobs a person cancels. Its handlers record what they did in the file that
//! `RECORD` names, and their leases outlast any test.

use std::io::Write as _;
use std::time::Duration;

use pulpo::Context;
use serde::{Deserialize, Serialize};

/// Runs until it is cancelled, and then ends in this way: `done`, `fails`, `panics`, or `never`, if
/// it ignores the cancellation.
#[derive(Debug, Serialize, Deserialize)]
struct Long(String);

#[pulpo::handler("long", ttr = "1h", max_attempts = 3)]
fn long(Long(end): Long, context: &Context) -> pulpo::Outcome {
    write_down(context, "begins")?;
    context.publish(Follows(end.clone()))?;
    context.progress(0.25, "row 1 of 4");
    while !context.is_cancelled() || end == "never" {
        std::thread::park_timeout(Duration::from_millis(2));
    }
    write_down(context, "is told")?;
    match end.as_str() {
        "fails" => Err("no luck".into()),
        "panics" => panic!("no luck"),
        _ => Ok(()),
    }
}

/// Does the same at an await point.
#[derive(Debug, Serialize, Deserialize)]
struct Waits;

#[pulpo::handler("waits", ttr = "1h")]
async fn waits(_: Waits, context: &Context) -> pulpo::Outcome {
    let _dropped = Dropped(context);
    write_down(context, "begins")?;
    std::future::pending::<()>().await;
    write_down(context, "goes on")
}

struct Dropped<'a>(&'a Context);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        let _ = write_down(self.0, "is dropped");
    }
}

/// Runs past its timeout, and ignores it.
#[derive(Debug, Serialize, Deserialize)]
struct Late;

#[pulpo::handler("late", timeout = "8s", ttr = "1h")]
fn late(_: Late, context: &Context) -> pulpo::Outcome {
    write_down(context, "begins")?;
    loop {
        std::thread::park_timeout(Duration::from_secs(1));
    }
}

/// Reports its progress as fast as it can.
#[derive(Debug, Serialize, Deserialize)]
struct Counts;

#[pulpo::handler("counts", ttr = "1h")]
fn counts(_: Counts, context: &Context) -> pulpo::Outcome {
    write_down(context, "begins")?;
    for row in 0_u64.. {
        context.progress(0.5, format!("row {row}"));
        if context.is_cancelled() {
            break;
        }
    }
    Ok(())
}

/// A batch whose cancelled members do not affect the others.
#[derive(Debug, Serialize, Deserialize)]
struct Several(u32);

#[pulpo::handler("several", ttr = "1h", batch = 3, linger = "30s")]
fn several(all: Vec<Several>, context: &Context) -> pulpo::Outcome {
    write_down(context, "begins")?;
    assert_eq!(all.len(), 3);
    while !std::path::Path::new("go").exists() && !context.is_cancelled() {
        std::thread::park_timeout(Duration::from_millis(2));
    }
    write_down(context, if context.is_cancelled() { "is told" } else { "goes on" })
}

#[derive(Debug, Serialize, Deserialize)]
struct Follows(String);

#[pulpo::handler("follows")]
fn follows(_: Follows, context: &Context) -> pulpo::Outcome {
    write_down(context, "follows")
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Quick;

#[pulpo::handler("quick")]
fn quick(_: Quick, context: &Context) -> pulpo::Outcome {
    write_down(context, "quick")
}

/// Writes one line in one write, so that lines of several processes do not mix.
fn write_down(context: &Context, what: &str) -> pulpo::Outcome {
    let file = std::env::var("RECORD")?;
    let line = format!("{} {what}\n", context.id());
    std::fs::OpenOptions::new().create(true).append(true).open(file)?.write_all(line.as_bytes())?;
    Ok(())
}

pulpo::main!();
