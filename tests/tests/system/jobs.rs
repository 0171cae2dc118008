//! The handlers of these tests. A message contains the behaviour of its job, and a test can query
//! the effects by its own key.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pulpo::ResultExt as _;
use serde::{Deserialize, Serialize};

/// A job of a test.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Act {
    /// Unique in the whole program.
    pub(crate) key: String,
    pub(crate) what: What,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum What {
    Succeed,
    Fail,
    FailOnce,
    Panic,
    Fatal,
    RetryAfter(u64),
    /// Blocks until the test releases it.
    Block,
    /// Blocks, and then panics.
    BlockThenPanic,
    /// Blocks, and then fails.
    BlockThenFail,
}

impl Act {
    pub(crate) fn new(key: &str, what: What) -> Self {
        Self { key: key.to_owned(), what }
    }
}

#[derive(Default)]
struct Seen {
    runs: HashMap<String, u32>,
    freed: Vec<String>,
}

static SEEN: Mutex<Option<Seen>> = Mutex::new(None);
static CHANGED: Condvar = Condvar::new();

fn seen() -> MutexGuard<'static, Option<Seen>> {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    seen.get_or_insert_default();
    seen
}

/// Returns how often the job with this key has been started.
pub(crate) fn runs(key: &str) -> u32 {
    seen().as_ref().and_then(|seen| seen.runs.get(key).copied()).unwrap_or_default()
}

/// Releases a blocked job.
pub(crate) fn free(key: &str) {
    seen().get_or_insert_default().freed.push(key.to_owned());
    CHANGED.notify_all();
}

fn perform(act: &Act) -> pulpo::Outcome {
    let mut all = seen();
    let run = all.get_or_insert_default().runs.entry(act.key.clone()).or_default();
    *run += 1;
    let run = *run;
    if matches!(act.what, What::Block | What::BlockThenPanic | What::BlockThenFail) {
        let held = |all: &mut Option<Seen>| all.as_ref().is_some_and(|seen| !seen.freed.contains(&act.key));
        drop(CHANGED.wait_while(all, held).unwrap_or_else(PoisonError::into_inner));
    } else {
        drop(all);
    }
    match act.what {
        What::Fail | What::BlockThenFail => Err("no luck")?,
        What::FailOnce if run == 1 => Err("no luck yet")?,
        What::Panic | What::BlockThenPanic => panic!("out of cheese"),
        What::Fatal => Err("no such account").fatal()?,
        What::RetryAfter(seconds) => Err("busy").retry_after(Duration::from_secs(seconds))?,
        What::Succeed | What::FailOnce | What::Block => {}
    }
    Ok(())
}

#[pulpo::handler("act", max_attempts = 3, backoff = "10s..1h")]
fn act(act: Act) -> pulpo::Outcome {
    perform(&act)
}

/// The same job with a timeout.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hurry(pub(crate) Act);

#[pulpo::handler("hurry", max_attempts = 3, backoff = "10s..1h", timeout = "30s", alias = "rush")]
fn hurry(Hurry(act): Hurry) -> pulpo::Outcome {
    perform(&act)
}

/// An urgent job with its own queue.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Mail(pub(crate) String);

#[pulpo::handler("mail", queue = "mail", priority = 5)]
fn mail(Mail(key): Mail) {
    let what = if key.starts_with("block") { What::Block } else { What::Succeed };
    let _ = perform(&Act { key, what });
}
