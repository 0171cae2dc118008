//! Clocks, passed in as a parameter: the only place that reads the real time.
//!
//! All waiting goes through a [`Notify`], which a notification or the clock wakes. Only the test moves a
//! [`ManualClock`], so a test of a delay of an hour takes no time and never sleeps.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::sync::lock;

/// A source of wall-clock time and of elapsed time.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the wall-clock time, which may jump. Due times and expirations
    /// follow it.
    fn now(&self) -> DateTime<Utc>;

    /// Returns the monotonic time since some fixed moment. Timeouts and heartbeats follow it.
    fn uptime(&self) -> Duration;

    /// Returns how long to wait in real time until `duration` has passed on this clock; `None` if real time says
    /// nothing and only a notification does.
    fn real_timeout(&self, duration: Duration) -> Option<Duration>;

    /// Registers `signal` to be notified when this clock is moved by hand.
    fn attach(&self, signal: &Arc<Notify>);
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Creates the clock of the machine.
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    fn real_timeout(&self, duration: Duration) -> Option<Duration> {
        Some(duration)
    }

    fn attach(&self, _: &Arc<Notify>) {}
}

/// A clock that stands still until it is moved.
///
/// ```
/// use std::time::Duration;
/// use pulpo::clock::{Clock as _, ManualClock};
///
/// let clock = ManualClock::at("2026-11-23T09:00:00Z".parse()?);
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().to_rfc3339(), "2026-11-23T09:01:00+00:00");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Manual>>);

#[derive(Debug)]
struct Manual {
    now: DateTime<Utc>,
    uptime: Duration,
    signals: Vec<Weak<Notify>>,
}

impl ManualClock {
    /// Creates a clock that shows this time.
    #[must_use]
    pub fn at(now: DateTime<Utc>) -> Self {
        Self(Arc::new(Mutex::new(Manual { now, uptime: Duration::ZERO, signals: Vec::new() })))
    }

    /// Lets time pass, and wakes everything that waits for it.
    pub fn advance(&self, duration: Duration) {
        self.change(|manual| {
            manual.uptime = manual.uptime.saturating_add(duration);
            let passed = TimeDelta::from_std(duration).ok();
            let now = passed.and_then(|passed| manual.now.checked_add_signed(passed));
            manual.now = now.unwrap_or(DateTime::<Utc>::MAX_UTC);
        });
    }

    /// Sets the wall clock without letting time pass, as an operator or a time
    /// server does.
    pub fn set(&self, now: DateTime<Utc>) {
        self.change(|manual| manual.now = now);
    }

    /// Moves the wall clock ahead by this much, or back if it is negative,
    /// without letting time pass.
    pub fn jump(&self, by: TimeDelta) {
        self.change(|manual| {
            let end = if by < TimeDelta::zero() { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
            manual.now = manual.now.checked_add_signed(by).unwrap_or(end);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Manual)) {
        let mut manual = lock(&self.0);
        change(&mut manual);
        manual.signals.retain(|signal| signal.strong_count() > 0);
        let signals: Vec<_> = manual.signals.iter().filter_map(Weak::upgrade).collect();
        drop(manual);
        for signal in signals {
            signal.notify();
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        lock(&self.0).now
    }

    fn uptime(&self) -> Duration {
        lock(&self.0).uptime
    }

    fn real_timeout(&self, _: Duration) -> Option<Duration> {
        None
    }

    fn attach(&self, signal: &Arc<Notify>) {
        lock(&self.0).signals.push(Arc::downgrade(signal));
    }
}

/// Wakes waiting threads. No notification is missed: each waiter passes the generation that it saw last.
#[derive(Debug)]
pub struct Notify {
    state: Mutex<NotifyState>,
    changed: Condvar,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct NotifyState {
    count: u64,
    /// Number of waiting threads. Notifying without a waiter would still be a system call.
    waiting: usize,
}

impl Notify {
    /// Creates a notification whose waits follow `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let signal = Arc::new(Self { state: Mutex::default(), changed: Condvar::new(), clock });
        signal.clock.attach(&signal);
        signal
    }

    /// Returns how often it was notified. Read it before the state that the
    /// wait is for, and pass it to [`Notify::wait`].
    pub fn generation(&self) -> u64 {
        lock(&self.state).count
    }

    /// Wakes all waiters.
    pub fn notify(&self) {
        let mut state = lock(&self.state);
        state.count += 1;
        if state.waiting > 0 {
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Waits until it was notified more than `seen` times, or for `at_most`. It
    /// may return early: check the state again, and the clock.
    pub fn wait(&self, seen: u64, at_most: Option<Duration>) {
        let mut state = lock(&self.state);
        state.waiting += 1;
        let unchanged = |state: &mut NotifyState| state.count == seen;
        let mut state = match at_most.and_then(|at_most| self.clock.real_timeout(at_most)) {
            Some(limit) => {
                let waited = self.changed.wait_timeout_while(state, limit, unchanged);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
            None => self.changed.wait_while(state, unchanged).unwrap_or_else(PoisonError::into_inner),
        };
        state.waiting -= 1;
    }
}
