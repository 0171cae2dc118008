//! Durable background jobs from plain functions.
//!
//! A web request should not wait for an e-mail to be sent, an image to be
//! shrunk or a report to be made. Annotate the function that does it, publish
//! its argument, and a worker calls the function: now, later, and again if it
//! fails. Messages wait in an embedded queue, a file without a server, or in
//! beanstalkd, by changing one setting.
//!
//! - **What is wrong is found at compile time.** A body that is published
//!   under another job's name, a job without a handler, two handlers for one
//!   job, a misspelt argument: none of them builds. What the compiler cannot
//!   see is refused when the worker starts.
//! - **Nothing is lost or stranded, by default.** Not by a panic, a message
//!   that nobody can read, a `kill -9` or a deploy.
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
//! `cargo run -- publish send_email --body '{"to": "a@b.c", "subject": "hi"}'`
//! queues a job, `cargo run` works it, and `cargo run -- --help` shows the
//! rest: `list`, `peek`, `kick`, `delete`, `pause`, `stats --watch`, `config`
//! and more.
//!
//! What follows is an overview. The [guide] has a page for each part of
//! it: [getting started](guide::getting_started), [handlers](guide::handlers),
//! [publishing](guide::publishing), [failures](guide::failures),
//! [deploying](guide::deploying), [the beanstalkd queue](guide::beanstalkd) and
//! [writing an adapter](guide::adapters).
//!
//! # Handlers
//!
//! A handler is a plain function. Its parameter, by value, is the body of the
//! message: any type of your crate with serde's `Serialize` and `Deserialize`.
//! The attribute ties this type to the request type, and the policy says how
//! the job is queued and tried again; see [`handler`] for all its arguments.
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
//! It may panic: the job fails, and the worker goes on. It may run twice for
//! one message, if a worker dies after doing the work and before saying so:
//! make it safe to repeat.
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
//! [`publish`] and [`publish_all`] do the same with a process-wide queue, made
//! from the configuration at first use, or by [`initialize`]. When they return
//! `Ok`, the message is on the disk.
//!
//! # Failures and retries
//!
//! What a handler returns decides:
//!
//! | outcome | the job |
//! | --- | --- |
//! | `Ok(())`, `()` | is done |
//! | any error by `?`, a panic, a timeout | is tried again, later each time, up to `max_attempts` times; then it is buried |
//! | [`retry_after`], `.retry_after(d)?` | is tried again in `d` |
//! | [`fatal`], `.fatal()?` | is buried at once |
//!
//! A run that fails after its worker was asked to stop does not count: the
//! message is ready again at once. Only a fatal error still buries it.
//!
//! A buried message stays with its reason until a person deletes it, or kicks
//! it back into the queue. A message that cannot be read, or does not fit its
//! type, is buried too: never dropped.
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
//! With the feature `testing`, the module `pulpo::testing` gives each test a
//! queue of its own and a clock that it moves, and runs jobs when the test says
//! so, by the code of a real worker:
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
//! [`Config`] has the table of all keys. They come from `pulpo.toml`, the
//! environment (`PULPO_QUEUE=file:/var/lib/shop`, `PULPO_CONCURRENCY=16`) and
//! the command line. An unknown key is refused; an unknown variable of the
//! environment is ignored with a warning.
//!
//! # Deploying
//!
//! Run as many workers as you like on one queue. SIGTERM stops one gently: it
//! takes no new job, running ones have `shutdown_grace` to end, then they go
//! back uncounted; a second signal does not wait. A worker that is killed
//! loses nothing: its jobs are ready again when their leases end, at most
//! `ttr` later. During a deploy, a message that only the new version knows,
//! or whose body only that version can read, waits for it, and the old version
//! buries it only after `unknown_type_grace`.
//!
//! # Features
//!
//! Each can be off; what it alone needs is then not built.
//!
//! | feature | default | gives | needs |
//! | --- | --- | --- | --- |
//! | `file` | yes | the embedded queue, [`queue::file`] | SQLite (compiled in), `notify` |
//! | `beanstalkd` | yes | a server as the queue of many machines, [`queue::beanstalkd`] | `rustix` for its sockets, on Unix |
//! | `cli` | yes | [`main!`] and the command line | `clap` and other crates for terminals |
//! | `tokio` | yes | `async fn` handlers, `publish_async` | `tokio` |
//! | `http`, also called `metrics` | no | `work --listen`: metrics for Prometheus, health and readiness over HTTP | `axum` and `hyper`, `tokio`, `metrics-exporter-prometheus` |
//! | `rusqlite`, `postgres` | no | [`publish_in`] a transaction of the client of that name | the client |
//! | `beanstalkc` | no | [`publish_in`] a connection of that client, which the program has already | the client, that of `beanstalkd` |
//! | `sqlx-sqlite`, `sqlx-postgres`, `tokio-postgres` | no | [`publish_in_async`] a transaction of that client | the client's traits |
//! | `testing` | no | the test kit, `pulpo::testing` | that of `file` |
//! | `conformance` | no | the cases that a queue adapter must pass, `pulpo::queue::conformance` | nothing |
//!
//! A program that only publishes to a server:
//! `pulpo = { version = "0.1", default-features = false, features = ["beanstalkd"] }`.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(hidden)]
pub mod __private;
#[cfg(feature = "cli")]
mod app;
#[cfg(feature = "cli")]
mod banner;
mod check;
#[cfg(feature = "cli")]
mod cli;
pub mod clock;
pub mod config;
mod context;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod dashboard;
mod decode;
mod disposition;
mod guard;
#[cfg(any(doc, doctest))]
pub mod guide;
#[cfg(feature = "http")]
mod http;
mod instance;
mod job;
mod keys;
mod message;
pub mod outbox;
mod outcome;
mod policy;
mod process;
mod producer;
pub mod queue;
mod registry;
mod report;
#[cfg(feature = "tokio")]
mod runtime;
pub mod schedule;
mod shape;
#[cfg(feature = "cli")]
mod snapshot;
mod state;
#[cfg_attr(not(feature = "file"), allow(unused, reason = "for queues that lease ahead"))]
mod sync;
mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod transaction;
pub mod worker;

#[cfg(feature = "cli")]
pub use app::App;
pub use check::{Problem, ProblemKind};
pub use config::{Config, ConfigError};
pub use context::Context;
#[cfg(feature = "tokio")]
pub use instance::asynchronous::Publishing;
pub use instance::{Pulpo, SetupError, initialize};
pub use job::{Body, IntoMessage, Job};
pub use keys::{OnDuplicate, Publication, UniqueFor};
pub use message::{Header, Message, MessageError, MessageId, Priority, When};
pub use outcome::{Failure, IntoOutcome, IntoOutcomes, Outcome, ResultExt, fatal, retry_after, snooze, transient};
pub use policy::{Backoff, Policy, Rate};
pub use producer::PublishError;
pub use pulpo_macros::{Job, handler, jobs};
pub use registry::{DuplicateHandler, Handler, JobDeclaration, Registry, RegistryError};
pub use state::State;
pub use transaction::Prepared;
pub use worker::{Summary, WorkError};

/// Publishes a job to the process-wide default queue: its body, or a
/// [`Message`] with options. When it returns Ok, the message is in the queue,
/// and has its id.
///
/// # Errors
/// If it is not in the queue.
pub fn publish<J>(message: impl IntoMessage<J>) -> Result<Message<J>, PublishError> {
    instance::default()?.publish(message)
}

/// Publishes several jobs of one type to the process-wide default queue, as
/// one batch: all or none, where the queue can.
///
/// # Errors
/// If they are not all in the queue.
pub fn publish_all<J>(
    messages: impl IntoIterator<Item = impl IntoMessage<J>>,
) -> Result<Vec<Message<J>>, PublishError> {
    instance::default()?.publish_all(messages)
}

/// [`publish`] for async code: it does not block the executor.
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
/// If the future is dropped once it has been polled, the job may be published
/// all the same.
///
/// # Errors
/// If it is not in the queue.
#[cfg(feature = "tokio")]
pub fn publish_async<J: Send + 'static>(message: impl IntoMessage<J>) -> Publishing<Message<J>> {
    instance::asynchronous::publish(instance::chosen(), message.into_draft())
}

/// [`publish_all`] for async code: it does not block the executor. If the
/// future is dropped once it has been polled, the jobs may be published all
/// the same.
///
/// # Errors
/// If they are not all in the queue.
#[cfg(feature = "tokio")]
pub fn publish_all_async<J: Send + 'static>(
    messages: impl IntoIterator<Item = impl IntoMessage<J>>,
) -> Publishing<Vec<Message<J>>> {
    let drafts = messages.into_iter().map(IntoMessage::into_draft).collect();
    instance::asynchronous::publish_all(instance::chosen(), drafts)
}

/// Publishes a job in a transaction of your own: the job is there if and only if
/// the transaction commits.
///
/// The transaction, or a connection, is one of rusqlite or of the crate
/// `postgres`, with the feature of pulpo that has that name. If the queue is in
/// the database of the transaction (both PostgreSQL), the job becomes a message
/// of the queue when it commits. Else it becomes a row in the table
/// `pulpo_outbox` of that database, with an id such as `outbox/17`, and a worker
/// that knows the database moves it to the queue: see [`outbox`].
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
/// With the feature `beanstalkc`, a `beanstalkc::Beanstalkc` is a connection to
/// publish over, too. It has no transactions: the job is in its tube when the
/// call returns Ok, with the id that the server gave it. The connection goes on
/// at the tube that it used.
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
/// If the body cannot be written, or the transaction did not take it.
pub fn publish_in<J>(
    transaction: &mut impl transaction::PublishIn,
    message: impl IntoMessage<J>,
) -> Result<Message<J>, PublishError> {
    instance::default()?.publish_in(transaction, message)
}

/// [`publish_in`] for clients that are async: transactions and connections of
/// sqlx (SQLite and PostgreSQL, 0.8 and 0.9) and of tokio-postgres, with the
/// feature `sqlx-sqlite`, `sqlx-postgres` or `tokio-postgres`.
///
/// ```ignore
/// let mut transaction = pool.begin().await?;
/// sqlx::query("INSERT INTO orders VALUES ($1)").bind(7).execute(&mut *transaction).await?;
/// pulpo::publish_in_async(&mut *transaction, OrderPaid { id: 7 }).await?;
/// transaction.commit().await?; // the order and its job, or neither
/// ```
///
/// To name the job: `publish_in_async::<OrderPaid, _>(…)`.
///
/// # Errors
/// If the body cannot be written, or the transaction did not take it.
#[cfg(feature = "tokio")]
pub fn publish_in_async<J: Send + 'static, Client>(
    transaction: &mut impl transaction::AsyncSqlClient<Client>,
    message: impl IntoMessage<J>,
) -> impl Future<Output = Result<Message<J>, PublishError>> + Send {
    // Before the future is made, which would keep the argument.
    let draft = message.into_draft();
    let default = instance::chosen();
    async move {
        let pulpo = default.get_async().await?;
        pulpo.publish_draft_in(transaction, draft).await
    }
}

/// Makes a job ready to be published in a transaction of any client of SQLite or
/// PostgreSQL, by one statement: [`Prepared`] has its text and the one parameter.
///
/// # Errors
/// If the body cannot be written, or could not be read again.
pub fn prepare<J>(message: impl IntoMessage<J>) -> Result<Prepared, PublishError> {
    instance::default()?.prepare(message)
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
/// Three parts may be given, in any order:
///
/// - `crates: [billing_jobs, mail_jobs]`: handlers in library crates are
///   linked only if something names the crate, and this does.
/// - `setup: |app| …`: gives the handlers their states, see [`App`]. It is run
///   before a worker starts and by the command `check`, and returns `()` or
///   `Result<(), E>` with any std error or `anyhow::Error`.
/// - `jobs: [shared::jobs]`: modules with [`#[pulpo::jobs]`](macro@jobs). The
///   program does not compile unless it has a handler for each job of them.
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
/// It stands at the top level of a program, in place of the function `main`:
/// inside of a function, or in a library, it does not compile. A program with a
/// `main` of its own puts it into a module, where it makes a private function
/// `main`, and calls that from there:
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
