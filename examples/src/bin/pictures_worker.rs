//! Runs the jobs that `pictures_producer` publishes. The handlers take their
//! names and policies from the types in `shared-jobs`, share values as `State`,
//! and publish follow-ups through their `Context`.
//!
//! ```text
//! cargo run --bin pictures_worker            # until Ctrl-C
//! cargo run --bin pictures_worker -- check   # whether all jobs have handlers and states
//! ```

use std::sync::atomic::{AtomicU64, Ordering};

use pulpo::{Context, State};
use shared_jobs::{MakeThumbnail, Notify};

/// Counts the work of this worker.
#[derive(Default)]
struct Done {
    pictures: AtomicU64,
}

#[pulpo::handler]
fn make_thumbnail(job: MakeThumbnail, context: &Context, done: State<Done>) -> pulpo::Outcome {
    if job.width == 0 {
        return Err(pulpo::fatal("a picture has at least one pixel"));
    }
    // A real handler would scale the picture here.
    let count = done.pictures.fetch_add(1, Ordering::Relaxed) + 1;
    // Published only if this job succeeds, together with its completion.
    context.publish(Notify::Log(format!("{} is {} wide, number {count}", job.file, job.width)))?;
    Ok(())
}

#[pulpo::handler]
#[expect(clippy::print_stdout, reason = "stands for a mail server and a log")]
fn notify(job: Notify) {
    match job {
        Notify::Mail { to, text } => println!("to {to}: {text}"),
        Notify::Log(text) => println!("{text}"),
    }
}

pulpo::main! {
    setup: |app| app.state(Done::default()),
}
