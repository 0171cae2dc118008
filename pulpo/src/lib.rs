//! Durable background jobs from plain functions.
//!
//! Move slow work out of your web requests: annotate the function that does it,
//! publish its argument, and a worker calls the function, now or later, and
//! retries it if it fails. Messages wait in an embedded queue, a file without a
//! server. PostgreSQL and beanstalkd are there when you outgrow it.
//!
//! - **Mistakes are found at compile time.** A body published under another
//!   job's name, a job without a handler, two handlers for one job, a misspelt
//!   argument: none of these compiles. Mistakes that the compiler cannot see
//!   keep the worker from starting.
//! - **Nothing is lost or stranded, by default.** A published job survives
//!   panics, unreadable messages, `kill -9` and deploys.
//!
//! # Getting started
//!
//! This is a whole program, `src/main.rs`:
//!
//! ```no_run
//! # fn main() {}
//! # mod program {
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct SendEmail {
//!     to: String,
//!     subject: String,
//! }
//!
//! #[pulpo::handler("send_email")]
//! fn send_email(email: SendEmail) -> pulpo::Outcome {
//!     if email.to.is_empty() {
//!         return Err(pulpo::fatal("no recipient"));
//!     }
//!     println!("to {}: {}", email.to, email.subject);
//!     Ok(())
//! }
//!
//! pulpo::main!();
//! # }
//! ```
//!
//! `cargo run -- publish send_email --body '{"to": "a@b.c", "subject":
//! "hi"}'` queues a job, `cargo run` runs it, and `cargo run --
//! --help` shows the other commands: `list`, `peek`, `kick`, `cancel`, `delete`,
//! `workers`, `stats --watch`, `config` and more.
//!
//! The rest of this page is an overview. The [guide] has a page for each topic: [getting
//! started](guide::getting_started), [handlers](guide::handlers), [publishing](guide::publishing),
//! [schedules](guide::time), [unique jobs and limits](guide::unique_jobs_and_limits), [failures](guide::failures),
//! [results](guide::results), [deploying](guide::deploying), [the beanstalkd queue](guide::beanstalkd) and [writing an
//! adapter](guide::adapters).
//!
//! # Handlers
//!
//! A handler is a plain function. Its parameter, by value, is the body of the
//! message: any type of your crate with serde's `Serialize` and `Deserialize`.
//! The attribute ties this type to a request type. Its arguments, listed at
//! [`handler`], set how the job is queued and retried.
//!
//! ```
//! # use serde::{Deserialize, Serialize};
//! # fn shrink(_: &str) -> Result<(), std::io::Error> { Ok(()) }
//! #[derive(Serialize, Deserialize)]
//! struct Thumbnail { path: String }
//!
//! #[pulpo::handler("thumbnail", queue = "images", max_attempts = 5, backoff = "10s..10m", timeout = "2m")]
//! fn thumbnail(job: Thumbnail) -> pulpo::Outcome {
//!     shrink(&job.path)?;
//!     Ok(())
//! }
//! ```
//!
//! If a handler panics, the job fails and the worker carries on. A handler may
//! run twice for one message, if a worker dies after doing the work and before
//! reporting it: make it safe to repeat.
//!
//! Handlers in a library crate are linked only if the program names the crate:
//! `pulpo::main! { crates: [shop_jobs] }`.
//!
//! # Publishing
//!
//! ```
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize)]
//! # struct Remind { user: u64 }
//! # #[pulpo::handler("remind")]
//! # fn remind(_: Remind) {}
//! use std::time::Duration;
//! use pulpo::{Config, Message, Pulpo};
//!
//! let pulpo = Pulpo::new(Config::default().queue("memory:")?)?;
//! let sent = pulpo.publish(Remind { user: 7 })?;
//! println!("queued as {:?}", sent.id());
//!
//! let later = Message::new(Remind { user: 7 })
//!     .priority(10)                               // 0 is the most urgent
//!     .delay(Duration::from_secs(3600))           // or a time
//!     .expiration(Duration::from_secs(86_400))    // then it is too late
//!     .header("source", "shop");                  // travels along
//! pulpo.publish(later)?;
//!
//! pulpo.publish_all((1..=100).map(|user| Remind { user }))?; // all or none
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`publish`] and [`publish_all`] do the same with the process-wide queue,
//! which is created from the configuration at first use, or by [`initialize`].
//! When they return `Ok`, the message is on disk.
//!
//! # Failures and retries
//!
//! The result of a handler decides. `Ok(())` and `()` mean that the job is
//! done. Any error by `?`, a panic and a timeout are retried with growing
//! delays, up to `max_attempts`. Return [`fatal`], [`retry_after`] or
//! [`snooze`] to choose otherwise. The guide lists [all outcomes](guide::failures#all-outcomes).
//!
//! A run that fails after its worker was asked to stop does not count as an
//! attempt: the message is ready again at once. Only a fatal error still buries
//! it.
//!
//! A buried message stays with its reason until you delete it or kick it back
//! into the queue. A message that cannot be read, or does not fit its type, is
//! buried too: it is never dropped.
//!
//! ```
//! use pulpo::ResultExt as _;
//! use std::time::Duration;
//!
//! fn charge(amount: &str) -> pulpo::Outcome {
//!     let amount: u32 = amount.parse().fatal()?;                  // will never be a number
//!     bank(amount).retry_after(Duration::from_secs(600))?;        // closed for ten minutes
//!     std::fs::write("/dev/null", amount.to_string())?;           // the usual backoff
//!     Ok(())
//! }
//! # fn bank(_: u32) -> Result<(), std::io::Error> { Ok(()) }
//! # assert!(charge("x").unwrap_err().is_fatal() && charge("1").is_ok());
//! ```
//!
//! # Testing
//!
//! With the feature `testing`, the module `pulpo::testing` gives each test its
//! own queue and a clock that the test moves. Jobs run when the test says so,
//! with the code of a real worker:
//!
//! ```
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize)]
//! # struct Remind { user: u64 }
//! # #[pulpo::handler("remind")]
//! # fn remind(_: Remind) {}
//! # #[cfg(feature = "testing")] {
//! let pulpo = pulpo::testing::TestPulpo::new();
//! pulpo::publish(Remind { user: 7 }).unwrap();
//! pulpo.assert_published::<Remind>(|m| m.body().user == 7);
//! pulpo.run_next().unwrap().assert_done();
//! # }
//! ```
//!
//! # Configuration
//!
//! [`Config`] lists all keys. Set them in `pulpo.toml`, the environment
//! (`PULPO_QUEUE=file:/var/lib/shop`, `PULPO_CONCURRENCY=16`) or on the command
//! line. An unknown key is refused; an unknown variable of the environment is
//! ignored with a warning.
//!
//! # Deploying
//!
//! Run as many workers as you like on one queue. SIGTERM stops one gracefully:
//! it takes no new job, running jobs have `shutdown_grace` to finish, and then
//! they go back without counting an attempt; a second signal stops it at once.
//! A worker that is killed loses nothing: its jobs are ready again, at most
//! `ttr` later. During a deploy, a message that only the new version knows, or
//! whose body only that version can read, waits for it, and the old version
//! buries it only after `unknown_type_grace`.
//!
//! # Features
//!
//! You can turn off each feature; dependencies that only it needs are then not
//! built.
//!
//! | feature | default | gives | needs |
//! | --- | --- | --- | --- |
//! | `file` | yes | the embedded queue, [`queue::file`] | SQLite (compiled in), `notify` |
//! | `beanstalkd` | yes | a beanstalkd server as the queue of many machines, [`queue::beanstalkd`] | `rustix` for its sockets, on Unix |
//! | `cli` | yes | [`main!`] and the command line | `clap` and other crates for terminals |
//! | `tokio` | yes | `async fn` handlers, `publish_async` | `tokio` |
//! | `http`, also called `metrics` | no | `work --listen`: metrics for Prometheus, health and readiness over HTTP | `axum` and `hyper`, `tokio`, `metrics-exporter-prometheus` |
//! | `rusqlite`, `postgres` | no | [`publish_in`] a transaction of the client of that name | the client |
//! | `postgres-tls` | no | encrypted connections of the queue and of outboxes in PostgreSQL | `rustls` with `ring`, `tokio-postgres-rustls` |
//! | `beanstalkc` | no | [`publish_in`] over a connection of that client | the client, and the needs of `beanstalkd` |
//! | `sqlx-sqlite`, `sqlx-postgres`, `tokio-postgres` | no | [`publish_in_async`] a transaction of that client | the client's traits |
//! | `testing` | no | the test kit, `pulpo::testing` | the needs of `file` |
//! | `conformance` | no | the cases that every queue adapter must pass, `pulpo::queue::conformance` | nothing |
//!
//! A program that only publishes to a server:
//! `pulpo = { version = "0.1", default-features = false, features = ["beanstalkd"] }`.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(hidden)]
pub mod __private;
mod app;
#[cfg(feature = "cli")]
mod banner;
#[cfg(feature = "cli")]
mod cli;
pub mod clock;
mod context;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod dashboard;
mod guard;
#[cfg(any(doc, doctest))]
pub mod guide;
#[cfg(feature = "http")]
mod http;
mod job;
mod model;
pub mod outbox;
mod process;
mod producer;
pub mod queue;
mod registry;
mod report;
#[cfg(feature = "tokio")]
mod runtime;
#[cfg(feature = "cli")]
mod snapshot;
mod state;
mod status;
#[cfg_attr(not(feature = "file"), allow(unused, reason = "for queues that lease ahead"))]
mod sync;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod transaction;
pub mod worker;

pub use app::config;
#[cfg(feature = "cli")]
use app::setup;
#[cfg(feature = "cli")]
pub use app::setup::App;
use app::{check, instance};
pub use check::{Problem, ProblemKind};
pub use config::{Config, ConfigError};
pub use context::{Context, ResultError};
#[cfg(feature = "tokio")]
pub use instance::asynchronous::Publishing;
pub use instance::default::initialize;
pub use instance::{Pulpo, SetupError};
pub use job::{Body, IntoMessage, Job};
pub use keys::{OnDuplicate, Publication, UniqueFor};
pub use message::{Header, Message, MessageError, MessageId, Priority, When};
pub use model::schedule;
use model::{decode, disposition, keys, message, outcome, policy, shape};
pub use outcome::{Failure, IntoOutcome, IntoOutcomes, Outcome, ResultExt, fatal, retry_after, snooze, transient};
pub use policy::{Backoff, Policy, Rate};
pub use producer::PublishError;
pub use pulpo_macros::{Job, handler, jobs};
pub use registry::{DuplicateHandler, Handler, JobDeclaration, Registry, RegistryError};
pub use state::State;
pub use status::{Status, StatusError, status};
pub use transaction::Prepared;
pub use worker::{Summary, WorkError};

/// Publishes a job to the process-wide default queue: its body, or a
/// [`Message`] with options. When it returns `Ok`, the message is in the queue
/// and has its id.
///
/// # Errors
/// Returns an error if the message is not in the queue.
pub fn publish<J>(message: impl IntoMessage<J>) -> Result<Message<J>, PublishError> {
    instance::default::get()?.publish(message)
}

/// Publishes several jobs of one type to the process-wide default queue, as one
/// batch: all or nothing, where the queue supports that.
///
/// # Errors
/// Returns an error if not all of them are in the queue.
pub fn publish_all<J>(
    messages: impl IntoIterator<Item = impl IntoMessage<J>>,
) -> Result<Vec<Message<J>>, PublishError> {
    instance::default::get()?.publish_all(messages)
}

/// Publishes like [`publish`], without blocking the executor.
///
/// ```
/// # mod jobs {
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # pub struct Greet { pub name: String }
/// # #[pulpo::handler("greet")]
/// # fn greet(_: Greet) {}
/// # }
/// # use jobs::Greet;
/// # pulpo::initialize(pulpo::Config::default().queue("memory:")?)?;
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let sent = pulpo::publish_async::<Greet>(Greet { name: "Ada".into() }).await?;
/// assert!(sent.id().is_some());
/// # Ok::<(), pulpo::PublishError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// If the future is dropped after it has been polled, the job may still be
/// published.
///
/// # Errors
/// Returns an error if the message is not in the queue.
#[cfg(feature = "tokio")]
pub fn publish_async<J: Send + 'static>(message: impl IntoMessage<J>) -> Publishing<Message<J>> {
    instance::asynchronous::publish(instance::default::chosen(), message.into_draft())
}

/// Publishes like [`publish_all`], without blocking the executor. If the future
/// is dropped after it has been polled, the jobs may still be published.
///
/// # Errors
/// Returns an error if not all of them are in the queue.
#[cfg(feature = "tokio")]
pub fn publish_all_async<J: Send + 'static>(
    messages: impl IntoIterator<Item = impl IntoMessage<J>>,
) -> Publishing<Vec<Message<J>>> {
    let drafts = messages.into_iter().map(IntoMessage::into_draft).collect();
    instance::asynchronous::publish_all(instance::default::chosen(), drafts)
}

/// Publishes a job in your own transaction: the job exists if and only if the
/// transaction commits.
///
/// Takes a transaction or a connection of rusqlite or of the crate `postgres`,
/// with the feature of that name. If the queue is in the database of the
/// transaction (both PostgreSQL), the job becomes a message of the queue when
/// the transaction commits. Otherwise it becomes a row in the table
/// `pulpo_outbox` of that database, with an id such as `outbox/17`, and a
/// worker that knows the database moves it to the queue: see [`outbox`].
///
/// ```
/// # #[cfg(all(feature = "file", feature = "rusqlite"))] {
/// # mod jobs {
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # pub struct OrderPaid { pub id: i64 }
/// # #[pulpo::handler("order_paid")]
/// # fn order_paid(_: OrderPaid) {}
/// # }
/// # use jobs::OrderPaid;
/// # pulpo::initialize(pulpo::Config::default().queue("memory:")?)?;
/// let mut shop = rusqlite::Connection::open_in_memory()?;
/// shop.execute_batch("CREATE TABLE orders(id INTEGER PRIMARY KEY)")?;
/// pulpo::outbox::create(&mut shop)?;
///
/// let mut transaction = shop.transaction()?;
/// transaction.execute("INSERT INTO orders VALUES (7)", [])?;
/// let sent = pulpo::publish_in(&mut transaction, OrderPaid { id: 7 })?;
/// transaction.commit()?; // the order and its job, or neither
/// assert_eq!(sent.id().unwrap().as_str(), "outbox/1");
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// With the feature `beanstalkc`, you can also pass a `beanstalkc::Beanstalkc`.
/// It has no transactions: the job is in its tube when the call returns `Ok`,
/// with the id that the server assigned. The connection keeps using the tube
/// that it used before.
///
/// ```no_run
/// # #[cfg(feature = "beanstalkc")] {
/// # mod jobs {
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # pub struct OrderPaid { pub id: i64 }
/// # #[pulpo::handler("order_paid")]
/// # fn order_paid(_: OrderPaid) {}
/// # }
/// # use jobs::OrderPaid;
/// let mut connection = beanstalkc::Beanstalkc::new().host("queue.example").port(11300).connect()?;
/// let sent = pulpo::publish_in(&mut connection, OrderPaid { id: 7 })?;
/// println!("job {}", sent.id().expect("it is published"));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Returns an error if the body cannot be written, or the transaction did not
/// accept it.
pub fn publish_in<J>(
    transaction: &mut impl transaction::PublishIn,
    message: impl IntoMessage<J>,
) -> Result<Message<J>, PublishError> {
    instance::default::get()?.publish_in(transaction, message)
}

/// Publishes like [`publish_in`], with an async client: transactions and
/// connections of sqlx (SQLite and PostgreSQL, 0.8 and 0.9) and of
/// tokio-postgres, with the feature `sqlx-sqlite`, `sqlx-postgres` or
/// `tokio-postgres`.
///
/// ```ignore
/// let mut transaction = pool.begin().await?;
/// sqlx::query("INSERT INTO orders VALUES ($1)").bind(7).execute(&mut *transaction).await?;
/// pulpo::publish_in_async(&mut *transaction, OrderPaid { id: 7 }).await?;
/// transaction.commit().await?; // the order and its job, or neither
/// ```
///
/// To name the job, write `publish_in_async::<OrderPaid, _>(…)`.
///
/// # Errors
/// Returns an error if the body cannot be written, or the transaction did not
/// accept it.
#[cfg(feature = "tokio")]
pub fn publish_in_async<J: Send + 'static, Client: 'static>(
    transaction: &mut impl transaction::AsyncSqlClient<Client>,
    message: impl IntoMessage<J>,
) -> transaction::Boxed<'_, Result<Message<J>, PublishError>> {
    // Before the future is made, which would keep the argument.
    let draft = message.into_draft();
    let default = instance::default::chosen();
    Box::pin(async move {
        let pulpo = default.get_async().await?;
        pulpo.publish_draft_in(transaction, draft).await
    })
}

/// Prepares a job for publication in a transaction of any SQLite or PostgreSQL
/// client: [`Prepared`] has one statement and its one parameter.
///
/// # Errors
/// If the body cannot be written, or could not be read again.
pub fn prepare<J>(message: impl IntoMessage<J>) -> Result<Prepared, PublishError> {
    instance::default::get()?.prepare(message)
}

/// Makes the whole program: a worker for all its handlers, with its command
/// line.
///
/// ```no_run
/// # fn main() {}
/// # mod program {
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Greet {
///     name: String,
/// }
///
/// #[pulpo::handler("greet")]
/// fn greet(greet: Greet) {
///     println!("hello {}", greet.name);
/// }
///
/// pulpo::main!();
/// # }
/// ```
///
/// It takes three optional parts, in any order:
///
/// - `crates: [billing_jobs, mail_jobs]` links the handlers of these library
///   crates; the linker drops crates that nothing names.
/// - `setup: |app| …` provides the states of the handlers, see [`App`]. It runs
///   before a worker starts and in the command `check`, and returns `()` or
///   `Result<(), E>` with any std error or `anyhow::Error`.
/// - `jobs: [shared::jobs]` names modules with [`#[pulpo::jobs]`](macro@jobs).
///   The program does not compile unless it has a handler for each of their
///   jobs.
///
/// ```no_run
/// # fn main() {}
/// # mod program {
/// struct Greeting(String);
///
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Greet { name: String }
/// #[pulpo::handler("greet")]
/// fn greet(greet: Greet, greeting: pulpo::State<Greeting>) {
///     println!("{} {}", greeting.0, greet.name);
/// }
///
/// pulpo::main! {
///     setup: |app| app.state(Greeting("hello".into())),
/// }
/// # }
/// ```
///
/// Put it at the top level of a program, in place of the function `main`.
/// Inside a function, or in a library, it does not compile. If your program has
/// its own `main`, put the macro into a module, where it creates a private
/// function `main`, and call that from your own:
///
/// ```no_run
/// mod worker {
///     pulpo::main!();
///     pub(super) fn run() -> std::process::ExitCode {
///         main()
///     }
/// }
///
/// fn main() -> std::process::ExitCode {
///     // Whatever the program does before.
///     worker::run()
/// }
/// ```
#[cfg(feature = "cli")]
#[macro_export]
macro_rules! main {
    ($($parts:tt)*) => {
        $crate::__private::program! { [$crate] $($parts)* }
    };
}
