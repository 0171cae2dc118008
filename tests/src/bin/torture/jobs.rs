//! The handlers. Each does what its job asks for, and records it.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pulpo::{Context, Outcome};
use serde::{Deserialize, Serialize};

use crate::kind::{Kind, Then};
use crate::ledger::Event;
use crate::life;

/// The work of a job, under a unique name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) key: String,
    pub(crate) kind: Kind,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plain(pub(crate) Task);

#[pulpo::handler("plain", ttr = "2s", max_attempts = 100, backoff = "100ms..1s")]
fn plain(Plain(task): Plain, context: &Context) -> Outcome {
    if task.kind == Kind::Parent {
        context.publish(Plain(Task { key: format!("{}/child", task.key), kind: Kind::Child }))?;
    }
    perform(&task, context)
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stubborn(pub(crate) Task);

#[pulpo::handler("stubborn", ttr = "2s", max_attempts = 3, backoff = "100ms..1s")]
fn stubborn(Stubborn(task): Stubborn, context: &Context) -> Outcome {
    perform(&task, context)
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Poison(pub(crate) Task);

#[pulpo::handler("poison", ttr = "2s", max_attempts = 2)]
fn poison(Poison(task): Poison, context: &Context) -> Outcome {
    perform(&task, context)
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hurried(pub(crate) Task);

#[pulpo::handler("hurried", ttr = "2s", timeout = "300ms", max_attempts = 100, backoff = "100ms..1s")]
fn hurried(Hurried(task): Hurried, context: &Context) -> Outcome {
    perform(&task, context)
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Late(pub(crate) Task);

#[pulpo::handler("late", ttr = "2s", timeout = "300ms", max_attempts = 3, backoff = "100ms..1s")]
fn late(Late(task): Late, context: &Context) -> Outcome {
    perform(&task, context)
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Awaited(pub(crate) Task);

#[pulpo::handler("awaited", ttr = "2s", timeout = "800ms", max_attempts = 100, backoff = "100ms..1s")]
async fn awaited(Awaited(task): Awaited, context: &Context) -> Outcome {
    next_call();
    let attempt = context.attempt();
    begin(&task, Some(context));
    let (time, then) = task.kind.plan(Some(attempt));
    let time = if then == Then::Wait { Duration::from_secs(60) } else { time };
    tokio::time::sleep(time).await;
    end(&task, then)
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Flock(pub(crate) Task);

#[pulpo::handler("flock", ttr = "2s", batch = 8, linger = "30ms", max_attempts = 100, backoff = "100ms..1s")]
fn flock(flock: Vec<Flock>) -> Vec<Outcome> {
    let tasks: Vec<_> = flock.into_iter().map(|Flock(task)| task).collect();
    perform_all(&tasks)
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StubbornFlock(pub(crate) Task);

#[pulpo::handler("stubborn_flock", ttr = "2s", batch = 8, linger = "30ms", max_attempts = 3, backoff = "100ms..1s")]
fn stubborn_flock(flock: Vec<StubbornFlock>) -> Vec<Outcome> {
    let tasks: Vec<_> = flock.into_iter().map(|StubbornFlock(task)| task).collect();
    perform_all(&tasks)
}

fn perform(task: &Task, context: &Context) -> Outcome {
    next_call();
    begin(task, Some(context));
    let attempt = Some(context.attempt());
    let (time, then) = task.kind.plan(attempt);
    let begun = Instant::now();
    while begun.elapsed() < time || (then == Then::Wait && !context.is_cancelled()) {
        thread::sleep(Duration::from_millis(5).min(time.max(Duration::from_millis(1))));
    }
    end(task, then)
}

fn perform_all(tasks: &[Task]) -> Vec<Outcome> {
    next_call();
    tasks.iter().for_each(|task| begin(task, None));
    tasks.iter().map(|task| end(task, task.kind.plan(None).1)).collect()
}

fn begin(task: &Task, context: Option<&Context>) {
    let Some(ledger) = life::ledger() else { return };
    let (lane, call) = this_call();
    ledger.write(Event::Start {
        key: task.key.clone(),
        kind: task.kind,
        id: context.map(|context| context.id().to_string()),
        attempt: context.map(Context::attempt),
        lane,
        call,
    });
}

/// Ends the run in this way, after recording it.
fn end(task: &Task, then: Then) -> Outcome {
    if then == Then::Abort {
        std::process::abort();
    }
    if let Some(ledger) = life::ledger() {
        let (lane, call) = this_call();
        ledger.write(Event::End { key: task.key.clone(), lane, call, then });
    }
    let reason = Kind::reason(&task.key);
    match then {
        Then::Fail => Err(reason.into()),
        Then::Fatal => Err(pulpo::fatal(reason)),
        Then::Panic => panic!("{reason}"),
        Then::Succeed | Then::Wait | Then::Abort => Ok(()),
    }
}

static LANES: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// The lane of this thread, and the number of its current call.
    static CALL: (u32, Cell<u64>) = (LANES.fetch_add(1, Ordering::Relaxed), Cell::new(0));
}

fn this_call() -> (u32, u64) {
    CALL.with(|(lane, call)| (*lane, call.get()))
}

fn next_call() {
    CALL.with(|(_, call)| call.set(call.get() + 1));
}
