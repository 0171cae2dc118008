//! The one job, its handler, and what ran.

use std::collections::HashSet;
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

const TEXT: &str = "a body of text that is about this long, to be two hundred bytes in all, \
                    no more and no less than that, thanks for reading";

/// About 200 bytes of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Email {
    to: String,
    subject: String,
    body: String,
}

impl Email {
    /// The job of this number.
    #[must_use]
    pub fn numbered(number: u64) -> Self {
        Self::about(&format!("job {number:016}"))
    }

    /// A job that does what its subject says; see [`handle`].
    #[must_use]
    pub fn about(subject: &str) -> Self {
        Self { to: "someone@example.com".into(), subject: subject.into(), body: TEXT.into() }
    }
}

/// The handler of all frameworks: counts the job, and does no more. A job about
/// `panic` panics, and one about `slow` never ends.
///
/// # Panics
/// If the job is about that.
#[allow(clippy::unused_async)]
pub async fn handle(email: Email) {
    if let Some(number) = email.subject.strip_prefix("job ") {
        RUNS.ran(number.parse().expect("a number"));
    } else {
        println!("began {} in {}", email.subject, process::id());
        match email.subject.as_str() {
            "panic" => panic!("on purpose"),
            "slow" => tokio::time::sleep(Duration::from_secs(24 * 60 * 60)).await,
            _ => {}
        }
    }
}

/// The runs of this process.
pub(crate) static RUNS: Runs = Runs {
    seen: Mutex::new(None),
    began: Mutex::new(Vec::new()),
    count: AtomicU64::new(0),
    twice: AtomicU64::new(0),
    timed: AtomicBool::new(false),
    printed: AtomicBool::new(false),
};

pub(crate) struct Runs {
    seen: Mutex<Option<HashSet<u64>>>,
    began: Mutex<Vec<(u64, u64)>>,
    count: AtomicU64,
    twice: AtomicU64,
    timed: AtomicBool,
    printed: AtomicBool,
}

impl Runs {
    fn ran(&self, number: u64) {
        if self.timed.load(Relaxed) {
            self.began.lock().unwrap_or_else(PoisonError::into_inner).push((number, now()));
        }
        if self.printed.load(Relaxed) {
            println!("ran {number}");
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.get_or_insert_default().insert(number) {
            self.twice.fetch_add(1, Relaxed);
        }
        drop(seen);
        self.count.fetch_add(1, Relaxed);
    }

    pub(crate) fn keep_times(&self) {
        self.timed.store(true, Relaxed);
    }

    pub(crate) fn print(&self) {
        self.printed.store(true, Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    pub(crate) fn twice(&self) -> u64 {
        self.twice.load(Relaxed)
    }

    /// Numbers, and when each began.
    pub(crate) fn began(&self) -> Vec<(u64, u64)> {
        self.began.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Until this many have run.
    pub(crate) async fn wait(&self, jobs: u64, longest: Duration) {
        let end = Instant::now() + longest;
        while self.count() < jobs {
            assert!(Instant::now() < end, "{} of {jobs} jobs ran", self.count());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Nanoseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_nanos()).expect("before 2554")
}
