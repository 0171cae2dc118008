//! The test kit: a queue per test, run by the test itself. Enable the feature
//! `testing` in `[dev-dependencies]`:
//!
//! ```toml
//! [dev-dependencies]
//! pulpo = { version = "…", features = ["testing"] }
//! ```
//!
//! # A first test
//!
//! A [`TestPulpo`] is a queue in memory, a clock that stands still, and the
//! handlers of the program. Nothing runs unless the test says so.
//!
//! ```
//! use pulpo::testing::TestPulpo;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct SendEmail { to: String }
//!
//! #[pulpo::handler("send_email")]
//! fn send_email(email: SendEmail) -> pulpo::Outcome {
//!     if email.to.is_empty() {
//!         return Err(pulpo::fatal("no recipient"));
//!     }
//!     Ok(())
//! }
//!
//! // The function under test: it publishes.
//! fn sign_up(address: &str) -> Result<(), pulpo::PublishError> {
//!     pulpo::publish(SendEmail { to: address.into() })?;
//!     Ok(())
//! }
//!
//! # /*
//! #[test]
//! fn a_new_user_gets_a_mail() {
//! # */
//!     let pulpo = TestPulpo::new();
//!
//!     sign_up("ada@example.com").unwrap();
//!     pulpo.assert_published::<SendEmail>(|m| m.body().to == "ada@example.com");
//!
//!     let run = pulpo.run_next().unwrap();
//!     run.assert_done();
//!
//!     sign_up("").unwrap();
//!     pulpo.drain();
//!     pulpo.assert_buried::<SendEmail>("no recipient");
//! # /*
//! }
//! # */
//! ```
//!
//! It is not a simulation: bodies are encoded and decoded, and messages are
//! taken, run, put back and buried by the code of a real worker's lane, on the
//! real embedded queue, in memory. Tests share nothing, and run in parallel.
//!
//! # Time
//!
//! The clock starts at the current time, and only the test moves it. So a test
//! of a whole day waits for nothing. Each run still takes its time, some
//! milliseconds, and all schedules of the program take part: to test only when
//! a job comes, use its occurrences.
//!
//! ```
//! use std::time::Duration;
//! use pulpo::testing::TestPulpo;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize)]
//! # struct Remind;
//!
//! #[pulpo::handler("remind", max_attempts = 3, backoff = "10s..1h")]
//! fn remind(_: Remind) -> pulpo::Outcome {
//!     Err("the mail server is away".into())
//! }
//!
//! let pulpo = TestPulpo::new();
//! pulpo.publish(pulpo::Message::new(Remind).delay(Duration::from_secs(3600))).unwrap();
//! assert!(pulpo.run_next().is_none()); // nothing is due
//!
//! pulpo.advance(Duration::from_secs(3600));
//! pulpo.drain();
//! let [first, most] = [10, 15].map(Duration::from_secs);
//! pulpo.assert_retried_after::<Remind>(first..=most); // a backoff has jitter
//!
//! let runs = pulpo.work_for(Duration::from_secs(600)); // each run when it is due
//! assert_eq!(runs.len(), 2);
//! pulpo.assert_buried::<Remind>("the mail server is away (attempt 3 of 3)");
//! ```
//!
//! The clock stands still while a handler runs, so no run exceeds its timeout.
//! To test how a handler gives up, call the function with a
//! [context](TestPulpo::context) that is cancelled. One thing moves the clock
//! automatically: a batch that is not full lets its `linger` pass.
//!
//! # Schedules
//!
//! The jobs of a handler with `cron` or `every` are published while
//! [`advance`](TestPulpo::advance) or [`work_for`](TestPulpo::work_for) lets
//! their time pass. [`occurrences`](TestPulpo::occurrences) lists the times
//! only, for years if you like.
//!
//! ```
//! use std::time::Duration;
//! use pulpo::testing::TestPulpo;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Default, Serialize, Deserialize)]
//! # struct Report {}
//!
//! #[pulpo::handler("report", cron = "0 3 * * *")]
//! fn report(_: Report, context: &pulpo::Context) {
//!     assert_eq!(context.scheduled_for(), Some(context.now()));
//! }
//!
//! let pulpo = TestPulpo::new().at("2026-11-23T12:00:00Z".parse().unwrap());
//! let runs = pulpo.work_for(Duration::from_secs(3 * 24 * 60 * 60));
//! assert_eq!(runs.len(), 3);
//! ```
//!
//! # States, and what handlers did
//!
//! The test provides only the states of the handlers that it runs. It can
//! inspect a shared state afterwards:
//!
//! ```
//! use std::sync::Mutex;
//! use pulpo::{State, testing::TestPulpo};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize)]
//! # struct Greet { name: String }
//!
//! #[derive(Default)]
//! struct Outbox(Mutex<Vec<String>>);
//!
//! #[pulpo::handler("greet")]
//! fn greet(greet: Greet, outbox: State<Outbox>) {
//!     outbox.0.lock().unwrap().push(format!("hello {}", greet.name));
//! }
//!
//! let pulpo = TestPulpo::new().state(Outbox::default());
//! pulpo.publish(Greet { name: "Ada".into() }).unwrap();
//! pulpo.drain();
//! assert_eq!(*pulpo.state_of::<Outbox>().0.lock().unwrap(), ["hello Ada"]);
//! ```
//!
//! # Inline
//!
//! With [`inline`](TestPulpo::inline), publishing runs the handler and its
//! follow-ups at once. Use it in tests of the final result that do not care
//! about the queue in between. A job that fails stays in the queue, as it does
//! in production, and publishing it still succeeds.
//!
//! ```
//! # use pulpo::testing::TestPulpo;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize)]
//! # struct Index { page: u32 }
//! # #[pulpo::handler("index")]
//! # fn index(_: Index) {}
//! let pulpo = TestPulpo::new().inline();
//! pulpo::publish(Index { page: 7 }).unwrap();
//! pulpo.assert_done::<Index>(|m| m.body().page == 7);
//! ```
//!
//! # Where the code under test publishes
//!
//! - Through a [`Pulpo`] that it receives: pass `&pulpo`, or a clone of it.
//!   This works on any thread.
//! - Through [`pulpo::publish`](crate::publish) and related functions: while a
//!   `TestPulpo` lives, it is the default of the thread that created it. That
//!   includes all of a plain test, a `#[tokio::test]` and the tasks that it
//!   spawns, and the handlers that it runs.
//! - From other threads, including those of a multi-threaded runtime,
//!   `pulpo::publish` returns an error that says so: it never reaches the real
//!   queue. Make a thread part of the test with [`enter`](TestPulpo::enter), a
//!   spawned task with [`scope`](TestPulpo::scope). Threads that the code under
//!   test starts itself need a `Pulpo`.
//!
//! # Async tests
//!
//! Everything works in a `#[tokio::test]`. There, await `run_next_async`,
//! `drain_async` and `work_for_async`: the handlers run while the runtime of
//! the test goes on, and use its timers and sockets. The plain variants block
//! the test's thread, which is fine for handlers that do not depend on it.
//!
//! ```
//! # use pulpo::testing::TestPulpo;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize)]
//! # struct Fetch { url: String }
//! #[pulpo::handler("fetch")]
//! async fn fetch(fetch: Fetch) -> pulpo::Outcome {
//!     tokio::task::yield_now().await;
//!     Err(pulpo::fatal(format!("no page at {}", fetch.url)))
//! }
//!
//! # /*
//! #[tokio::test]
//! async fn a_page_that_is_gone_is_not_asked_for_again() {
//! # */
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//!     let pulpo = TestPulpo::new();
//!     pulpo::publish_async(Fetch { url: "http://localhost/".into() }).await.unwrap();
//!     let run = pulpo.run_next_async().await.unwrap();
//!     run.assert_buried("no page");
//! # });
//! # /*
//! }
//! # */
//! ```
//!
//! # Transactions
//!
//! A job that is published in a transaction of your database waits in its
//! outbox. [`relay`](TestPulpo::relay) moves the committed ones to the queue of
//! the test, as a worker would.
//!
//! # A handler alone
//!
//! A handler is a function, so a test may call it. Create a state with
//! [`State::new`](crate::State::new), and the context with
//! [`TestPulpo::context`].
//!
//! # Messages of others
//!
//! [`Pulpo::queue`] is the queue itself: enqueue any text that another program
//! could have written, and inspect, kick and delete messages.
//!
//! ```
//! use pulpo::queue::NewMessage;
//! # use pulpo::testing::TestPulpo;
//! # #[derive(serde::Serialize, serde::Deserialize)]
//! # struct Ping { count: u32 }
//! # #[pulpo::handler("ping")]
//! # fn ping(_: Ping) {}
//! let pulpo = TestPulpo::new();
//! let text = r#"{"header": {"request_type": "ping"}, "body": {"count": "many"}}"#;
//! pulpo.queue().enqueue(vec![NewMessage::new("pulpo", "ping", text)]).unwrap();
//! pulpo.run_next().unwrap().assert_buried("body.count: invalid type: string");
//! ```

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};

use self::faults::{Faults, FaultyQueue, OutageClock};
use self::kit::{Kit, Runtime, around, sound};
use self::recorder::Recorder;
use crate::clock::{Clock, ManualClock};
use crate::config::Config;
use crate::instance::{Pulpo, scoped};
use crate::job::Job;
use crate::queue::backend::Purpose;
use crate::queue::{Filter, StoredMessage};
use crate::registry::{Handler, Registry};
use crate::schedule::Occurrences;
use crate::state::{State, States};
use crate::sync::lock;
use crate::worker::WorkerOptions;

mod assertions;
mod blocking;
mod context;
mod faults;
mod future;
mod kit;
mod recorder;
mod relay;
mod run;

pub use self::context::ContextBuilder;
pub use self::future::Scoped;
pub use self::run::{Delay, Run, Settled};
pub use crate::instance::scoped::Entered;

/// A queue for one test, which the test itself runs; see the [module](self).
///
/// It dereferences to a [`Pulpo`], for code that publishes.
pub struct TestPulpo(Arc<Kit>);

impl TestPulpo {
    /// Creates an empty queue in memory, and a clock that shows the current
    /// time, to the second, and stands still. Until it is dropped, it is the
    /// default of this thread, to which [`pulpo::publish`](crate::publish)
    /// publishes.
    #[must_use]
    pub fn new() -> Self {
        Self::with_options(WorkerOptions::default())
    }

    /// Creates it with these worker options.
    #[must_use]
    pub fn with_options(options: WorkerOptions) -> Self {
        Self::build(options, None)
    }

    /// Creates a queue in which things go wrong, to test whether handlers are
    /// safe to repeat. A worker dies before a handler is called, or after it
    /// has returned and before its outcome reaches the queue. A lease is lost
    /// while the handler runs, or the handler exceeds its timeout, so that the
    /// message is delivered twice. The handler may be notified in the middle:
    /// [`is_cancelled`](crate::Context::is_cancelled) is true from then on, and
    /// one that is async is dropped where it awaits. Or another worker runs the
    /// message, or the whole batch, while the first handler is in the middle.
    /// The middle is where a handler uses its [`State`], calls
    /// [`publish`](crate::publish), or `is_cancelled`, `progress` or `publish`
    /// of its context, or where it awaits something that is not ready. The
    /// queue does not answer when a worker asks for a message or settles a run,
    /// or refuses what a handler publishes, or accepts it with the answer lost.
    /// Publications of the test itself succeed.
    ///
    /// The worker's code is the real one. The seed determines the faults and
    /// the delays between attempts, so the same seed repeats the same story, if
    /// the handlers do the same each time, and on the worker's thread. A
    /// test that panics while this lives prints the seed and the
    /// [`story`](Self::story). No message meets more than three faults of its
    /// runs, so [`work_for`](Self::work_for) for long enough ends with
    /// all of them done or buried.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use pulpo::testing::TestPulpo;
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Ping;
    /// # #[pulpo::handler("ping")]
    /// # fn ping(_: Ping) {}
    /// for seed in 0..20 {
    ///     let pulpo = TestPulpo::faults(seed);
    ///     pulpo.publish(Ping).unwrap();
    ///     pulpo.work_for(Duration::from_secs(3600));
    ///     pulpo.assert_done::<Ping>(|_| true);
    /// }
    /// ```
    #[must_use]
    pub fn faults(seed: u64) -> Self {
        Self::build(WorkerOptions::default(), Some(Arc::new(Faults::new(seed))))
    }

    /// Returns the story so far, one line per event; empty without
    /// [`faults`](Self::faults).
    #[must_use]
    pub fn story(&self) -> Vec<String> {
        self.0.faults.as_ref().map(|faults| faults.story()).unwrap_or_default()
    }

    fn build(options: WorkerOptions, faults: Option<Arc<Faults>>) -> Self {
        // Whole seconds, since a queue may round times to coarser units than nanoseconds.
        let clock = ManualClock::at(Utc::now().trunc_subsecs(0));
        let kit = Arc::new_cyclic(|kit: &Weak<Kit>| {
            let in_memory = Config::default().queue("memory:").expect("a place");
            let queue = in_memory.open(Purpose::Program, Arc::new(clock.clone())).expect("memory for a queue");
            let queue = match &faults {
                Some(faults) => Arc::new(FaultyQueue { queue, faults: faults.clone() }),
                None => queue,
            };
            let kit = kit.clone();
            let on_publish = move || {
                if let Some(kit) = kit.upgrade() {
                    kit.run_inline()
                }
            };
            let recorder = Recorder::new(queue, clock.clone(), Box::new(on_publish));
            let time: Arc<dyn Clock> = match &faults {
                Some(faults) => Arc::new(OutageClock { clock: clock.clone(), faults: faults.clone() }),
                None => Arc::new(clock.clone()),
            };
            let pulpo = Pulpo::with_queue(Arc::new(recorder.clone()), options, time);
            let (inline, published) = Default::default();
            let (states, running, scheduler) = Default::default();
            Kit { pulpo, recorder, clock, states, inline, published, running, scheduler, faults }
        });
        scoped::install(&kit.pulpo);
        Self(kit)
    }

    /// Sets the initial time.
    #[must_use]
    pub fn at(self, now: DateTime<Utc>) -> Self {
        self.0.clock.set(now);
        self
    }

    /// Provides a state to the handlers, which take it as
    /// [`State<T>`](crate::State).
    #[must_use]
    #[track_caller]
    pub fn state<T: Send + Sync + 'static>(self, state: T) -> Self {
        let mut states = lock(&self.0.states);
        states.insert(state);
        if let Some((first, _)) = states.given_again().first() {
            panic!("the state `{}` is given twice: wrap one in a type of its own", first.type_name);
        }
        drop(states);
        self
    }

    /// Makes publishing run the handler and its follow-ups at once.
    #[must_use]
    pub fn inline(self) -> Self {
        self.0.inline.store(true, Ordering::SeqCst);
        self
    }

    /// Returns a state that was provided.
    ///
    /// # Panics
    /// If none of this type was provided.
    #[must_use]
    #[track_caller]
    pub fn state_of<T: Send + Sync + 'static>(&self) -> State<T> {
        let state = lock(&self.0.states).get();
        state.unwrap_or_else(|| panic!("missing state `{}`", std::any::type_name::<T>()))
    }

    /// Runs the next message: the most urgent, then the oldest. `None` if
    /// nothing is due. A batch handler gets as many as it takes; the other
    /// messages are in [`Run::rest`].
    ///
    /// # Panics
    /// If the state of its handler is missing, or the handlers of this program
    /// cannot be used.
    #[track_caller]
    pub fn run_next(&self) -> Option<Run> {
        sound(self.blocking(Kit::next))
    }

    /// Runs everything that is due, including follow-ups, and returns each
    /// message that was run, in the order in which they were settled. Messages
    /// that wait for their delay or next attempt stay.
    ///
    /// # Panics
    /// As [`run_next`](Self::run_next); or if jobs publish each other forever.
    #[track_caller]
    pub fn drain(&self) -> Vec<Run> {
        sound(self.blocking(Kit::drain))
    }

    /// Lets time pass without running anything. The jobs of schedules that fall
    /// due are published, each at its time.
    ///
    /// # Panics
    /// If the body of such a job cannot be created.
    #[track_caller]
    pub fn advance(&self, time: Duration) {
        sound(self.0.advance(time));
    }

    /// Returns the times of this job's schedule after this time.
    ///
    /// ```
    /// # use pulpo::testing::TestPulpo;
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Default, Serialize, Deserialize)]
    /// struct Report {}
    ///
    /// #[pulpo::handler("report", cron = "0 3 * * *", tz = "Europe/Berlin")]
    /// fn report(_: Report) {}
    ///
    /// // The clocks are put back on the 25th: the hour of one to two is UTC plus two, then plus one.
    /// let nights = TestPulpo::new().occurrences::<Report>("2026-10-23T12:00:00Z".parse().unwrap());
    /// let nights: Vec<_> = nights.take(3).map(|night| night.format("%d %H:%M").to_string()).collect();
    /// assert_eq!(nights, ["24 01:00", "25 02:00", "26 02:00"]);
    /// ```
    ///
    /// # Panics
    /// If it has no schedule.
    #[track_caller]
    pub fn occurrences<J: Job>(&self, after: DateTime<Utc>) -> Occurrences {
        let handler = Registry::gather().get(J::REQUEST_TYPE);
        match handler.and_then(Handler::schedule) {
            Some(schedule) => schedule.after(after),
            None => panic!("expected a handler of `{}` with `cron` or `every`", J::REQUEST_TYPE),
        }
    }

    /// Works for this long: runs what is due, moves the clock to the time at
    /// which the next message may start, and so on. A message may wait for its
    /// delay, its next attempt, a `rate`, or the end of a `hold_back`. Returns
    /// each message that was run.
    ///
    /// # Panics
    /// As [`drain`](Self::drain).
    #[track_caller]
    pub fn work_for(&self, time: Duration) -> Vec<Run> {
        sound(self.blocking(move |kit, runtime| kit.work_for(time, runtime)))
    }

    /// Runs like [`run_next`](Self::run_next), in an async test. If the future
    /// is dropped, the run continues.
    ///
    /// # Panics
    /// As `run_next`.
    #[cfg(feature = "tokio")]
    pub async fn run_next_async(&self) -> Option<Run> {
        sound(self.waiting(Kit::next).await)
    }

    /// Runs like [`drain`](Self::drain), in an async test. If the future is
    /// dropped, the runs continue.
    ///
    /// # Panics
    /// As `drain`.
    #[cfg(feature = "tokio")]
    pub async fn drain_async(&self) -> Vec<Run> {
        sound(self.waiting(Kit::drain).await)
    }

    /// Runs like [`work_for`](Self::work_for), in an async test. If the future
    /// is dropped, the runs continue.
    ///
    /// # Panics
    /// As `work_for`.
    #[cfg(feature = "tokio")]
    pub async fn work_for_async(&self, time: Duration) -> Vec<Run> {
        sound(self.waiting(move |kit, runtime| kit.work_for(time, runtime)).await)
    }

    /// Returns the current time of this test.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }

    /// Returns the clock, for code that needs the same time.
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.0.clock
    }

    /// Makes the thread that calls it part of this test, until the returned
    /// value is dropped: [`pulpo::publish`](crate::publish) on it publishes to
    /// the queue of the test.
    ///
    /// ```
    /// # use pulpo::testing::TestPulpo;
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Ping;
    /// # #[pulpo::handler("ping")]
    /// # fn ping(_: Ping) {}
    /// let pulpo = TestPulpo::new();
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| {
    ///         let _in_test = pulpo.enter();
    ///         pulpo::publish(Ping).unwrap();
    ///     });
    /// });
    /// pulpo.assert_published::<Ping>(|_| true);
    /// ```
    pub fn enter(&self) -> Entered {
        scoped::enter(&self.0.pulpo)
    }

    /// Makes a future part of this test, on whatever thread it is polled:
    /// `tokio::spawn(pulpo.scope(task()))`.
    pub fn scope<F: Future>(&self, future: F) -> Scoped<F> {
        Scoped { pulpo: self.0.pulpo.clone(), future: Box::pin(future) }
    }

    fn recorder(&self) -> &Recorder {
        &self.0.recorder
    }

    fn states(&self) -> States {
        lock(&self.0.states).clone()
    }

    #[track_caller]
    fn stored(&self, filter: &Filter) -> Vec<StoredMessage> {
        self.queue().list(filter).expect("a queue in memory can be listed")
    }

    fn blocking<R: Send>(&self, work: impl FnOnce(&Kit, Runtime) -> R + Send) -> R {
        let runtime = around();
        blocking::run(|| work(&self.0, runtime))
    }

    #[cfg(feature = "tokio")]
    async fn waiting<R: Send + 'static>(&self, work: impl FnOnce(&Kit, Runtime) -> R + Send + 'static) -> R {
        let kit = self.0.clone();
        let runtime = tokio::runtime::Handle::try_current().ok();
        blocking::run_async(move || work(&kit, runtime)).await
    }
}

/// A failing test prints the faults that were injected, so that it can be repeated.
impl Drop for TestPulpo {
    #[expect(clippy::print_stderr, reason = "beside the panic of the test")]
    fn drop(&mut self) {
        if let (Some(faults), true) = (&self.0.faults, std::thread::panicking()) {
            eprintln!("faults of the seed {}: `TestPulpo::faults({})` runs them again", faults.seed, faults.seed);
            for (number, line) in faults.story().iter().enumerate() {
                eprintln!("{:>4}. {line}", number + 1);
            }
        }
    }
}

impl Default for TestPulpo {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for TestPulpo {
    type Target = Pulpo;

    fn deref(&self) -> &Pulpo {
        &self.0.pulpo
    }
}

impl fmt::Debug for TestPulpo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestPulpo").field("now", &self.now()).finish_non_exhaustive()
    }
}
