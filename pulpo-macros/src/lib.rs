//! The macros of pulpo. Use them through the crate `pulpo`.
//!
//! Three stages, each in a file: `attr` parses by the `table` of arguments,
//! `check` validates and gathers every fault, `expand` emits. All of them work on `proc_macro2` types, so
//! that unit tests can drive them.

use proc_macro::TokenStream;

use crate::seen::Seen;

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

/// What the attributes of this crate have asked about.
static SEEN: Seen = Seen::new();

/// Makes a function the handler of a job.
///
/// The function stays as it is, and can still be called. The type of its
/// parameter becomes a [`Job`]: it can be published, and a worker that the
/// function is linked into runs it for each message of the request type.
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
/// | `queue = "mail"` | the queue that its messages go to: 1 to 200 ASCII letters, digits and `-_./+;$()`, no hyphen first | the configured one |
/// | `priority = 10` | of a message that does not say: from 0, the most urgent, to 4294967295 | 65536 |
/// | `max_attempts = 5` | how many runs a message gets before it is buried; 1: no retry | 20 |
/// | `backoff = "1s..1h"` | the pause before the next run: the first, doubled each time up to the last, with jitter; `"5s"`: always so long | `"1s..1h"` |
/// | `ttr = "60s"` | time to run, at least a second: how long a worker that shows no sign of life keeps a message; a living one renews it | `"60s"` |
/// | `timeout = "30s"` | how long one run may take | as long as it likes |
/// | `unique(account_id)` | only one job with the same values of these fields is in the queue, see [below](#unique-jobs); `unique` alone: with the same body | jobs are not unique |
/// | `unique_for = "waiting"` | for how long: `"unfinished"`, until the job is done or buried; `"waiting"`, until its run starts; `"1h"`, for this time after publication | `"unfinished"` |
/// | `on_duplicate = "replace"` | what becomes of another one: `"keep"` the one that is there, `"replace"` it (only what waits), or `"reject"` the publication | `"keep"` |
/// | `rate = "10/1s"` | at most so many starts in any such time, over all workers, see [below](#limits) | any number |
/// | `limit = 1` | at most so many running at the same time, over all workers | any number |
/// | `rate_by(tenant) = "10/1s"` | the same for each value of these fields by itself | any number |
/// | `limit_by(tenant) = 1` | the same for each value of these fields by itself | any number |
/// | `batch = 100` | the handler takes a `Vec` of up to so many bodies at once, see below | one |
/// | `linger = "2s"` | how long a batch that is not full waits for more after its first message | `"0s"`: takes what is there |
/// | `cron = "0 3 * * MON-FRI"` | runs at these times without being published: minute, hour, day, month and weekday, or `@daily` and the like; see below; may be repeated | only what is published |
/// | `every = "5m"` | runs at each multiple of this period since 1970 UTC, at least a second | only what is published |
/// | `tz = "Europe/Berlin"` | the time zone of `cron` | `"UTC"` |
/// | `missed = "one"` | what becomes of times at which no worker with this handler was alive: `"one"`: the last is made up for; `"skip"`: none; `"all"`: each, the last 100 at most | `"one"` |
/// | `overlap = "skip"` | what becomes of a time at which the job of the one before is unfinished: `"skip"`, or `"allow"` | `"skip"` |
/// | `alias = "old_name"` | a further request type that it serves, for messages that were published under a former name; may be repeated | none |
/// | `crate = path` | where the crate `pulpo` is, if another crate re-exports it | the dependency, renamed or not |
///
/// Without any, `#[pulpo::handler]`, the body type says all of this by itself:
/// see [`derive(Job)`](macro@Job). `batch`, `linger`, what says when it runs, and
/// `crate` stay with the handler.
///
/// Durations are a number and a unit, or several: `"500ms"`, `"90s"`,
/// `"1h 30m"`; at most 4294967295 seconds, which is as far as beanstalkd counts.
///
/// # Schedules
///
/// A handler with `cron` or `every` runs at these times, once for all workers
/// of the queue, and can be published as well. The body of such a run is the
/// default of its type; `Context::scheduled_for` is the time that it is for.
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
/// weekday are both given, one of them is enough. As tokens, without quotes,
/// `cron(0 3 * * MON-FRI)`, an error is on the field that is wrong.
///
/// Where clocks are put forward, a time that they leave out is the first
/// instant after; where they are put back, a time that comes twice is the first
/// one. What runs every hour or oftener goes on through both as if nothing
/// were.
///
/// # The function
///
/// An `fn` or an `async fn`. Its first parameter is the body, taken by value: a type of
/// your own that is `serde::Serialize`, `serde::Deserialize` and `Send`. One
/// type has one request type. It returns `()` or `Result<(), E>`, where `E` is
/// any std error, `anyhow::Error` or [`Failure`].
///
/// After the body it may take, in any order and number:
///
/// - [`&pulpo::Context`][Context]: which message and which attempt this is,
///   how much time is left, whether the result still counts; and a way to
///   publish jobs that follow from this one, if it is done;
/// - [`pulpo::State<T>`][State]: what all jobs of the worker share, a pool of
///   connections for instance, given in the `setup` of `pulpo::main!`.
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
/// An `async fn` needs the feature `tokio` of pulpo, which is on by default. It
/// runs in a lane like any other handler, with the timers, sockets and tasks of
/// a Tokio runtime around it: that of the process, which is made when the first
/// one comes, or one that the worker is given. At its timeout, and when the
/// grace of a stop is over, it is dropped at its await point. Its future must
/// be `Send`.
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
/// With `batch`, the handler takes several messages at once: as many as it
/// says, or what has come when the linger is over. They are published one by
/// one, or with `publish_all`, and each keeps its own attempts, lease and end:
///
/// - `()` or `Result<(), E>` settles all of them alike; so does a panic or a
///   timeout;
/// - `Vec<pulpo::Outcome>` or `Result<Vec<pulpo::Outcome>, E>` settles each by
///   its own, in the order of the bodies;
/// - one that does not decode is buried alone, one that has expired is deleted
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
///         other => Err(pulpo::fatal(format!("{other} is no status"))),
///     };
///     lines.iter().map(one).collect()
/// }
/// ```
///
/// A batch occupies one lane while it gathers. A queue that can pick by request
/// type (the embedded one) fills it past messages of other types; on others
/// (beanstalkd) the next message of another type ends the gathering, so give
/// such a job a queue, and a worker, of its own.
///
/// # Unique jobs
///
/// With `unique`, the queue has one job of each key: the values of the fields
/// that are named, or the whole body. Publishing a second one returns the first
/// one's id, and `message.publication()` says what happened. Fields are read as
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
/// `rate` and `limit` hold over all workers of a queue. What is limited waits in
/// the queue: it takes no lane and no attempt, and hides nothing that comes
/// behind it. The embedded queue and PostgreSQL keep limits and unique jobs; on
/// others a worker with them does not start.
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
/// # Bodies that are no objects
///
/// A body that is a scalar, a string or a list on the wire wants a newtype:
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
/// Everything that is wrong with an attribute and its function is reported in
/// one pass, each fault on its place. Two handlers for one request type, or for
/// one body type, do not compile where one is in sight of the other. In crates
/// that do not see each other, two for one request type fail the build of the
/// binary that both are linked into; two of a body type with `derive(Job)` keep
/// the worker from starting and fail the command `check`.
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
/// For jobs that one program publishes and another one works: the type stands
/// in a crate that both share, with `#[job("its_name", …)]`, which takes the
/// arguments of [`handler`][macro@handler] but `batch` and `linger`.
/// The producer links no code of the handler; the worker has it, without a
/// name:
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
/// It goes on structs and enums without generics. A worker that links the type
/// and no handler for it warns when it starts, with file and line, and its
/// command `check` fails.
///
/// # Errors
///
/// All that is wrong is reported in one pass, each fault on its place. Two jobs
/// of one name, declared here or by handlers, fail the build of the binary that
/// both are linked into.
#[proc_macro_derive(Job, attributes(job))]
pub fn job(item: TokenStream) -> TokenStream {
    expand::job(item.into(), &SEEN).into()
}

/// Makes a list of the jobs that a module declares.
///
/// A worker that names the list does not compile unless it has a handler for
/// each job of it. So a job that is added to the shared crate is not forgotten:
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
/// the modules within it, and what the module re-exports by name with
/// `pub use`: so a crate with its jobs in several files lists them all. What a
/// `cfg` takes away is not in it. Types that another macro makes are not seen:
/// re-export these too.
///
/// `crate = path` says where the crate `pulpo` is, if another crate re-exports
/// it.
///
/// # Errors
///
/// If it is not on a module with its content, or the module has no job.
#[proc_macro_attribute]
pub fn jobs(arguments: TokenStream, module: TokenStream) -> TokenStream {
    jobs::expand(arguments.into(), module.into(), &SEEN).into()
}

/// What `pulpo::main!` stands for. Not to be written by hand.
#[doc(hidden)]
#[proc_macro]
pub fn program(parts: TokenStream) -> TokenStream {
    program::expand(parts.into(), program::is_library(std::env::args())).into()
}

/// What `handler` puts beside a function. Not to be written by hand.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn beside(items: TokenStream, _: TokenStream) -> TokenStream {
    items
}
