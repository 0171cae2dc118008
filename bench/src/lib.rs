//! Shared parts of the benchmark programs: the job, its handler, and the counters that prove that
//! each job ran once.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

pub mod nothing;

const TEXT: &str = "a body of text that is about this long, to be two hundred bytes in all, \
                    no more and no less than that, thanks for reading";

/// The only job, about 200 bytes of JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Email {
    /// A recipient.
    pub to: String,
    /// The number of the job.
    pub subject: String,
    /// Some text.
    pub body: String,
}

impl Email {
    /// Creates the job of this number.
    #[must_use]
    pub fn numbered(number: u64) -> Self {
        Self { to: "someone@example.com".into(), subject: format!("job {number:016}"), body: TEXT.into() }
    }

    /// Creates the job of this number with a longer text.
    #[must_use]
    pub fn of_size(number: u64, bytes: usize) -> Self {
        Self { body: "x".repeat(bytes), ..Self::numbered(number) }
    }

    /// Returns the number of the job.
    ///
    /// # Panics
    /// Panics if it was not created by this crate.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.subject[4..].parse().expect("a numbered job")
    }
}

/// A job of which the queue keeps one for each subject. It has no handler, because not every queue
/// of the benchmark supports unique jobs.
#[derive(Clone, Debug, Serialize, Deserialize, pulpo::Job)]
#[job("send_email_once", unique(subject))]
pub struct UniqueEmail {
    to: String,
    subject: String,
    body: String,
}

impl UniqueEmail {
    /// Creates the job of this number.
    #[must_use]
    pub fn numbered(number: u64) -> Self {
        let Email { to, subject, body } = Email::numbered(number);
        Self { to, subject, body }
    }
}

/// Counts the job.
#[pulpo::handler("send_email")]
fn send_email(email: Email) {
    RUNS.ran(email.number());
}

/// A job that runs together with others.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EmailInBatch(Email);

impl EmailInBatch {
    /// Creates the job of this number.
    #[must_use]
    pub fn numbered(number: u64) -> Self {
        Self(Email::numbered(number))
    }
}

/// Counts the jobs.
#[pulpo::handler("send_emails", batch = 100)]
fn send_emails(emails: Vec<EmailInBatch>) {
    emails.iter().for_each(|email| RUNS.ran(email.0.number()));
}

/// The runs of this process.
pub static RUNS: Runs = Runs {
    began: Mutex::new(Vec::new()),
    seen: Mutex::new(Vec::new()),
    count: AtomicU64::new(0),
    twice: AtomicU64::new(0),
    target: AtomicU64::new(u64::MAX),
    timed: AtomicU64::new(0),
    reached: Condvar::new(),
    lock: Mutex::new(()),
};

/// The jobs that ran, and when.
#[derive(Debug)]
pub struct Runs {
    began: Mutex<Vec<(u64, u64)>>,
    seen: Mutex<Vec<u64>>,
    count: AtomicU64,
    twice: AtomicU64,
    target: AtomicU64,
    timed: AtomicU64,
    reached: Condvar,
    lock: Mutex<()>,
}

/// Longer than any row takes.
const GIVE_UP: Duration = Duration::from_secs(180);

impl Runs {
    /// Starts a new count, which is complete after `target` runs. With `timed`, it records when
    /// each job began.
    ///
    /// # Panics
    /// Panics if a handler panicked.
    pub fn expect(&self, target: u64, timed: bool) {
        self.began.lock().expect("no panic").clear();
        self.seen.lock().expect("no panic").clear();
        self.count.store(0, Relaxed);
        self.twice.store(0, Relaxed);
        self.timed.store(u64::from(timed), Relaxed);
        self.target.store(target, Relaxed);
    }

    /// Records that a job has run.
    ///
    /// # Panics
    /// Panics if a handler panicked.
    pub fn ran(&self, number: u64) {
        if self.timed.load(Relaxed) == 1 {
            self.began.lock().expect("no panic").push((number, now()));
        }
        {
            let mut seen = self.seen.lock().expect("no panic");
            let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
            if seen.len() <= word {
                seen.resize(word + 1, 0);
            }
            if seen[word] & bit != 0 {
                self.twice.fetch_add(1, Relaxed);
            }
            seen[word] |= bit;
        }
        if self.count.fetch_add(1, Relaxed) + 1 >= self.target.load(Relaxed) {
            let _held = self.lock.lock().expect("no panic");
            self.reached.notify_all();
        }
    }

    /// Returns the number of runs.
    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// Returns the number of runs of jobs that had run before.
    pub fn twice(&self) -> u64 {
        self.twice.load(Relaxed)
    }

    /// Waits until the expected number of jobs has run. Returns when that was.
    ///
    /// # Panics
    /// Panics if it takes too long.
    pub fn wait(&self) -> Instant {
        let mut held = self.lock.lock().expect("no panic");
        let end = Instant::now() + GIVE_UP;
        while self.count() < self.target.load(Relaxed) {
            assert!(Instant::now() < end, "{} of {} jobs ran", self.count(), self.target.load(Relaxed));
            held = self.reached.wait_timeout(held, Duration::from_millis(20)).expect("no panic").0;
        }
        Instant::now()
    }

    /// Returns when each job began, in nanoseconds since 1970.
    ///
    /// # Panics
    /// Panics if a handler panicked.
    pub fn began(&self) -> Vec<(u64, u64)> {
        self.began.lock().expect("no panic").clone()
    }
}

/// Returns the current time in nanoseconds since 1970, the same in all processes.
///
/// # Panics
/// Panics before 1970.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_nanos()).expect("before 2554")
}
