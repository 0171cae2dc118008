//! Time, passed in: the only place that reads the real clock.
//!
//! Everything that waits does so on a [`Notify`], which a notification or the
//! clock wakes. With a [`ManualClock`] only the test moves the time, so a test
//! of a delay of an hour takes no time and never sleeps.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

pub(crate) use crate::sync::lock;

/// What time it is, and how long it has been.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time of day, which may jump. Due times and expirations go by it.
    fn now(&self) -> DateTime<Utc>;

    /// The time since some moment, which never jumps. Timeouts and heartbeats
    /// go by it.
    fn uptime(&self) -> Duration;

    /// How long to wait in real time until `duration` has passed on this
    /// clock; `None` if only a notification tells.
    fn real_timeout(&self, duration: Duration) -> Option<Duration>;

    /// Asks to have `signal` notified when this clock is moved by hand.
    fn attach(&self, signal: &Arc<Notify>);
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// The clock of the machine.
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
    /// A clock that shows this time.
    #[must_use]
    pub fn at(now: DateTime<Utc>) -> Self {
        Self(Arc::new(Mutex::new(Manual { now, uptime: Duration::ZERO, signals: Vec::new() })))
    }

    /// Lets time pass: what waits for it is woken.
    pub fn advance(&self, duration: Duration) {
        self.change(|manual| {
            manual.uptime = manual.uptime.saturating_add(duration);
            let passed = TimeDelta::from_std(duration).ok();
            let now = passed.and_then(|passed| manual.now.checked_add_signed(passed));
            manual.now = now.unwrap_or(DateTime::<Utc>::MAX_UTC);
        });
    }

    /// Sets the time of day without letting time pass, as an operator or a
    /// time server does.
    pub fn set(&self, now: DateTime<Utc>) {
        self.change(|manual| manual.now = now);
    }

    /// Sets the time of day this far ahead, or back if it is negative, without
    /// letting time pass.
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

/// Wakes those who wait. Nobody misses a notification: who waits says which
/// one it has seen last.
#[derive(Debug)]
pub struct Notify {
    state: Mutex<NotifyState>,
    changed: Condvar,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct NotifyState {
    count: u64,
    /// Threads that wait. To wake nobody is a system call too.
    waiting: usize,
}

impl Notify {
    /// A notification whose waits go by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let signal = Arc::new(Self { state: Mutex::default(), changed: Condvar::new(), clock });
        signal.clock.attach(&signal);
        signal
    }

    /// How often it was notified: to be read before the state that the wait
    /// is for, and handed to [`Notify::wait`].
    pub fn generation(&self) -> u64 {
        lock(&self.state).count
    }

    /// Wakes all that wait.
    pub fn notify(&self) {
        let mut state = lock(&self.state);
        state.count += 1;
        if state.waiting > 0 {
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Waits until it was notified more than `seen` times, or for `at_most`.
    /// It may return early: look at the state again, and at the clock.
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
