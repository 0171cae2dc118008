//! The macros of pulpo. Use them through the crate `pulpo`.
//!
//! Three stages, each in a file: `attr` parses by the `table` of arguments,
//! `check` validates and gathers every fault, `expand` emits. All of them work on `proc_macro2` types, so
//! that unit tests can drive them.

use proc_macro::TokenStream;

use crate::seen::Seen;

mod asks;
mod attr;
mod check;
mod expand;
mod faults;
mod jobs;
mod krate;
mod program;
mod seen;
mod source;
mod table;

/// Remembers the names and types that the attributes of this crate have asked about.
static SEEN: Seen = Seen::new();

/// Makes a function the handler of a job.
///
/// The function is unchanged and can still be called. The type of its parameter
/// becomes a [`Job`]: you can publish it, and a worker that links the function
/// runs it for each message of the request type.
///
/// ```
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct SendEmail {
///     to: String,
/// }
///
/// #[pulpo::handler("send_email", queue = "mail", max_attempts = 5, timeout = "30s")]
/// fn send_email(email: SendEmail) -> pulpo::Outcome {
///     if email.to.is_empty() {
///         return Err(pulpo::fatal("no recipient")); // buried, not tried again
///     }
///     std::fs::write("/dev/null", email.to)?; // any std error: tried again
///     Ok(())
/// }
///
/// assert_eq!(<SendEmail as pulpo::Job>::REQUEST_TYPE, "send_email");
/// assert_eq!(<SendEmail as pulpo::Job>::POLICY.max_attempts, 5);
/// ```
///
/// # Arguments
///
/// The first one is the request type: the name of the job in the header of its
/// messages, 1 to 200 ASCII letters, digits and `-_.:/+;$()`. All others are
/// optional, in any order, each once except `cron` and `alias`.
///
/// | argument | meaning | default |
/// | --- | --- | --- |
/// | `queue = "mail"` | the queue of its messages: 1 to 200 ASCII letters, digits and `-_./+;$()`, not beginning with a hyphen | the configured one |
/// | `priority = 10` | the default priority of its messages: from 0, the most urgent, to 4294967295 | 65536 |
/// | `max_attempts = 5` | how many runs a message gets before it is buried; 1 means no retry | 20 |
/// | `backoff = "1s..1h"` | the delay before the next run: the first, doubled each time up to the last, with jitter; `"5s"` does not grow | `"1s..1h"` |
/// | `ttr = "60s"` | time to run, at least a second: how long a worker keeps a message without a sign of life; a live one renews it | `"60s"` |
/// | `timeout = "30s"` | how long one run may take | no limit |
/// | `unique(account_id)` | only one job with the same values of these fields is in the queue, see [below](#unique-jobs); `unique` alone compares the whole body | jobs are not unique |
/// | `unique_for = "waiting"` | how long the key is taken: `"unfinished"`, until the job is done or buried; `"waiting"`, until its run starts; `"1h"`, for this long after publication | `"unfinished"` |
/// | `on_duplicate = "replace"` | what happens to a duplicate: `"keep"` the existing one, `"replace"` it (only with `"waiting"`), or `"reject"` the publication | `"keep"` |
/// | `rate = "10/1s"` | maximum number of starts in any such period, across all workers, see [below](#limits) | no limit |
/// | `limit = 1` | maximum number of runs at the same time, across all workers | no limit |
/// | `rate_by(tenant) = "10/1s"` | the same for each value of these fields separately | no limit |
/// | `limit_by(tenant) = 1` | the same for each value of these fields separately | no limit |
/// | `batch = 100` | the handler takes a `Vec` of up to this many bodies at once, see below | one |
/// | `linger = "2s"` | how long a batch waits for more messages after the first | `"0s"`: takes what is ready |
/// | `cron = "0 3 * * MON-FRI"` | runs at these times: minute, hour, day, month and weekday, or `@daily` and the like; see below; may be repeated | no schedule |
/// | `every = "5m"` | runs at each multiple of this period since 1970 UTC, at least a second | no schedule |
/// | `tz = "Europe/Berlin"` | the time zone of `cron` | `"UTC"` |
/// | `missed = "one"` | which times run later if no worker with this handler was running: `"one"`, the last; `"skip"`, none; `"all"`, each, up to the last 100, together with `overlap = "allow"` | `"one"` |
/// | `overlap = "skip"` | what happens at a time if the previous job is unfinished: `"skip"` the time, or `"allow"` both | `"skip"` |
/// | `alias = "old_name"` | another request type that it serves, for messages published under a former name; may be repeated | none |
/// | `crate = path` | the path of the crate `pulpo`, if another crate re-exports it | the dependency, renamed or not |
///
/// Without arguments, `#[pulpo::handler]` takes them from the body type: see
/// [`derive(Job)`](macro@Job). `batch`, `linger` and the arguments of schedules
/// stay with the handler; `crate` is of the attribute that it stands in.
///
/// Durations are one or more numbers with units: `"500ms"`, `"90s"`,
/// `"1h 30m"`; at most 4294967295 seconds, which is as far as beanstalkd
/// counts.
///
/// # Schedules
///
/// A handler with `cron` or `every` runs at these times, once across all
/// workers of the queue; you can also publish it. The body of a scheduled run
/// is the default of its type; `Context::scheduled_for` is the time that it is
/// for.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// #[derive(Default, Serialize, Deserialize)]
/// struct Report {}
///
/// #[pulpo::handler("report", cron = "0 3 * * MON-FRI", tz = "Europe/Berlin")]
/// fn report(_: Report, context: &pulpo::Context) {
///     println!("the report of {:?}", context.scheduled_for());
/// }
/// ```
///
/// The five fields take numbers, names (`JAN`, `MON`), `*`, ranges (`9-17`),
/// lists (`0,30`) and steps (`*/15`, `9-17/2`); 0 and 7 are Sunday. If day and
/// weekday are both given, either one is enough. Written as tokens, without
/// quotes, `cron(0 3 * * MON-FRI)`, an error points at the wrong field.
///
/// Where clocks go forward, a skipped time runs at the first instant after the
/// gap. Where they go back, a repeated time runs at its first occurrence. Jobs
/// that run hourly or more often keep their even pace through both.
///
/// # The function
///
/// An `fn` or an `async fn`. Its first parameter is the body, by value: your
/// own type with `serde::Serialize`, `serde::Deserialize` and `Send`. One type
/// has one request type. It returns `()` or `Result<(), E>`, where `E` is any
/// std error, `anyhow::Error` or [`Failure`].
///
/// After the body it may take, in any order and number:
///
/// - [`&pulpo::Context`][Context]: the message, the attempt, the time left,
///   whether the result still counts; and a way to publish follow-up jobs;
/// - [`pulpo::State<T>`][State]: a value that all jobs of the worker share,
///   such as a connection pool, provided in the `setup` of `pulpo::main!`.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// use pulpo::{Context, State};
///
/// # #[derive(Serialize, Deserialize)]
/// # struct Charge { cents: u64 }
/// # #[derive(Serialize, Deserialize)]
/// # struct Receipt { cents: u64 }
/// # #[pulpo::handler("receipt")]
/// # fn receipt(_: Receipt) {}
/// struct Bank { url: String }
///
/// #[pulpo::handler("charge")]
/// fn charge(charge: Charge, bank: State<Bank>, context: &Context) -> pulpo::Outcome {
///     println!("{} at {}, attempt {}", charge.cents, bank.url, context.attempt());
///     context.publish(Receipt { cents: charge.cents })?;
///     Ok(())
/// }
/// ```
///
/// # Async functions
///
/// An `async fn` needs pulpo's feature `tokio`, which is on by default. It runs
/// in a lane like any other handler, with the timers, sockets and tasks of a
/// Tokio runtime: one that the process creates for the first of them, or one
/// that you give the worker. At its timeout, and when the grace period of a
/// stop is over, it is dropped at its await point. Its future must be `Send`.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # struct Fetch { url: String }
/// # async fn get(_: &str) -> Result<Vec<u8>, std::io::Error> { Ok(Vec::new()) }
/// #[pulpo::handler("fetch", timeout = "30s")]
/// async fn fetch(fetch: Fetch) -> pulpo::Outcome {
///     let page = get(&fetch.url).await?;
///     println!("{} bytes", page.len());
///     Ok(())
/// }
/// ```
///
/// # Batches
///
/// With `batch`, the handler takes several messages at once: up to that number,
/// or those that have arrived when the linger is over. They are published one
/// by one, or with `publish_all`, and each keeps its own attempts, lease and
/// outcome:
///
/// - `()` or `Result<(), E>` settles all of them alike; so does a panic or a
///   timeout;
/// - `Vec<pulpo::Outcome>` or `Result<Vec<pulpo::Outcome>, E>` settles each by
///   its own outcome, in the order of the bodies;
/// - a message that does not decode is buried alone, an expired one is deleted
///   alone: the handler gets the others.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize)]
/// struct LogLine { status: u16 }
///
/// #[pulpo::handler("log_line", queue = "log", batch = 100, linger = "2s")]
/// fn ingest(lines: Vec<LogLine>) -> Vec<pulpo::Outcome> {
///     let one = |line: &LogLine| match line.status {
///         100..600 => Ok(()),
///         other => Err(pulpo::fatal(format!("{other} is not a status"))),
///     };
///     lines.iter().map(one).collect()
/// }
/// ```
///
/// A batch occupies one lane while it gathers. Several free lanes gather at
/// the same time and share what arrives: for full batches, set
/// `concurrency = 1` for the handler. A queue that can select by
/// request type (such as the embedded one) fills it past messages of other
/// types. On others (beanstalkd), the next message of another type ends the
/// gathering, so give such a job its own queue and worker.
///
/// # Unique jobs
///
/// With `unique`, the queue has one job per key: the values of the named
/// fields, or the whole body. Publishing a second one returns the first one's
/// id, and `message.publication()` says what happened. Fields are read as
/// `body.account_id` and `body.address.city` would be, so a misspelt one does
/// not compile.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize)]
/// struct Recalculate { account_id: u64, reason: String }
///
/// // However often it is asked for, one runs and one waits, with the newest reason.
/// #[pulpo::handler("recalculate", unique(account_id), unique_for = "waiting", on_duplicate = "replace")]
/// fn recalculate(recalculate: Recalculate) {
///     println!("account {}", recalculate.account_id);
/// }
/// ```
///
/// Unique in the queue is not exclusive execution: a job that is published
/// again while the first one runs may run beside it. `limit_by(account_id) = 1`
/// lets one run at a time.
///
/// # Limits
///
/// `rate` and `limit` hold across all workers of a queue. A limited job waits
/// in the queue: it takes no lane and no attempt, and hides no job behind it.
/// The embedded queue and PostgreSQL support limits and unique jobs; on others
/// a worker with them does not start.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize)]
/// struct CallApi { tenant: String, path: String }
///
/// #[pulpo::handler("call_api", rate = "100/1s", rate_by(tenant) = "10/1s", limit_by(tenant) = 2)]
/// fn call_api(call: CallApi) {
///     println!("{} {}", call.tenant, call.path);
/// }
/// ```
///
/// # Bodies that are not objects
///
/// For a body that is a scalar, a string or a list on the wire, use a newtype:
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize)]
/// struct Resize(Vec<u32>);
///
/// #[pulpo::handler("resize")]
/// fn resize(Resize(widths): Resize) {
///     assert!(!widths.is_empty());
/// }
/// ```
///
/// # Errors
///
/// All mistakes in an attribute and its function are reported in one pass, each
/// in its place. Two handlers for one request type, or for one body type, do
/// not compile where one can see the other. In crates that do not see each
/// other, two for one request type fail to link into one binary; two of a body
/// type with `derive(Job)` keep the worker from starting and fail the command
/// `check`.
///
/// [`Job`]: https://docs.rs/pulpo/latest/pulpo/trait.Job.html
/// [`Failure`]: https://docs.rs/pulpo/latest/pulpo/struct.Failure.html
/// [Context]: https://docs.rs/pulpo/latest/pulpo/struct.Context.html
/// [State]: https://docs.rs/pulpo/latest/pulpo/struct.State.html
#[proc_macro_attribute]
pub fn handler(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand::handler(arguments.into(), function.into(), &SEEN).into()
}

/// Makes a type the body of a job, apart from its handler.
///
/// Use it for jobs that one program publishes and another one works. The type
/// is in a crate that both share, with `#[job("its_name", …)]`. It takes the
/// arguments of [`handler`][macro@handler], except those of the function and of
/// its schedule: `batch`, `linger`, `cron`, `every`, `tz`, `missed` and `overlap`.
/// The producer links no code of the handler; the worker has it, without a name:
///
/// ```
/// use serde::{Deserialize, Serialize};
///
/// // In the shared crate:
/// #[derive(Serialize, Deserialize, pulpo::Job)]
/// #[job("send_email", queue = "mail", max_attempts = 5)]
/// pub struct SendEmail {
///     pub to: String,
/// }
///
/// // In the worker:
/// #[pulpo::handler]
/// fn send_email(email: SendEmail) {
///     println!("to {}", email.to);
/// }
///
/// assert_eq!(<SendEmail as pulpo::Job>::REQUEST_TYPE, "send_email");
/// ```
///
/// It works on structs and enums without generics. A worker that links the type
/// but no handler for it warns at the start, with file and line, and its
/// command `check` fails.
///
/// # Errors
///
/// All mistakes are reported in one pass, each in its place. Two jobs of one
/// name, declared here or by handlers, do not link into one binary.
#[proc_macro_derive(Job, attributes(job))]
pub fn job(item: TokenStream) -> TokenStream {
    expand::job(item.into(), &SEEN).into()
}

/// Makes a list of the jobs that a module declares.
///
/// A worker that names the list does not compile unless it has a handler for
/// each of its jobs. So no job that is added to the shared crate is forgotten:
///
/// ```
/// // In the crate `shared`, which producers and workers depend on:
/// #[pulpo::jobs]
/// pub mod jobs {
///     use serde::{Deserialize, Serialize};
///
///     #[derive(Serialize, Deserialize, pulpo::Job)]
///     #[job("send_email")]
///     pub struct SendEmail {
///         pub to: String,
///     }
/// }
/// ```
///
/// ```ignore
/// // In the worker:
/// #[pulpo::handler]
/// fn send_email(email: shared::jobs::SendEmail) {}
///
/// pulpo::main! { jobs: [shared::jobs] }
/// ```
///
/// The list has every struct and enum of the module with `#[job(…)]`, those of
/// the modules within it, and the types that the module re-exports by name with
/// `pub use`: so a crate with its jobs in several files lists them all. Items that a
/// `cfg` removes are not in it. Types that another macro generates are not seen:
/// re-export these too.
///
/// `crate = path` gives the path of the crate `pulpo`, if another crate
/// re-exports it.
///
/// # Errors
///
/// Fails to compile if it is not on a module with its content, or if the module has no job.
#[proc_macro_attribute]
pub fn jobs(arguments: TokenStream, module: TokenStream) -> TokenStream {
    jobs::expand(arguments.into(), module.into(), &SEEN).into()
}

/// The expansion of `pulpo::main!`. Do not call it directly.
#[doc(hidden)]
#[proc_macro]
pub fn program(parts: TokenStream) -> TokenStream {
    program::expand(parts.into(), program::is_library(std::env::args()), &SEEN).into()
}

/// Carries the items that `handler` adds beside a function. Do not use it directly.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn beside(items: TokenStream, _: TokenStream) -> TokenStream {
    items
}
