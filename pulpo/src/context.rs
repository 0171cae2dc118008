//! The context of a run, and the other parameters of handlers.

use std::fmt;
#[cfg(feature = "tokio")]
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
#[cfg(feature = "tokio")]
use std::task::Poll;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::clock::Clock;
#[cfg(feature = "tokio")]
use crate::guard;
use crate::job::{IntoMessage, KeysOf};
use crate::message::{Header, Message, MessageId, OwnedBody};
#[cfg(feature = "tokio")]
use crate::outcome::{Failure, transient};
use crate::producer::{Producer, PublishError};
use crate::queue::{Progress, QueueAdapter};
use crate::report::chain;
use crate::state::States;
#[cfg(feature = "testing")]
use crate::state::interleave;
use crate::sync::lock;

mod cancellation;
mod produced;
mod progress;
mod run;

pub(crate) use cancellation::Cancellation;
pub(crate) use produced::Produced;
pub use produced::ResultError;
pub(crate) use progress::LatestProgress;
pub(crate) use run::UnfitBody;
pub use run::{Parameter, Run};

/// The run of a job, as its handler sees it: the message, the time left, and a
/// way to publish follow-ups.
///
/// In a batch, it describes the first message, and follow-ups are published
/// with the first message of the batch that is done.
///
/// A handler takes it by reference, after the body:
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)]
/// # struct Import { file: String }
/// #[derive(Serialize, Deserialize)]
/// struct Report { lines: usize }
///
/// #[pulpo::handler("report")]
/// fn report(report: Report) { println!("{} lines", report.lines); }
///
/// #[pulpo::handler("import", timeout = "10m")]
/// fn import(import: Import, context: &pulpo::Context) -> pulpo::Outcome {
///     println!("{}, attempt {} of {}", context.id(), context.attempt(), context.max_attempts());
///     let mut lines = 0;
///     for line in std::fs::read_to_string(&import.file)?.lines() {
///         if context.is_cancelled() {
///             return Err("out of time".into()); // the result is not needed any more
///         }
///         lines += usize::from(!line.is_empty());
///     }
///     context.publish(Report { lines })?; // goes out only if this job is done
///     Ok(())
/// }
/// ```
pub struct Context {
    env: Arc<WorkerEnv>,
    id: MessageId,
    header: Header,
    attempt: u32,
    max_attempts: u32,
    /// The end of the timeout, in uptime.
    timeout_at: Option<Duration>,
    cancellation: Arc<Cancellation>,
    progress: Arc<LatestProgress>,
    produced: Mutex<Produced>,
    limited: Limited,
}

/// The part of a context that all jobs of a worker share.
pub(crate) struct WorkerEnv {
    pub(crate) queue: Arc<dyn QueueAdapter>,
    pub(crate) states: States,
    pub(crate) producer: Producer,
    pub(crate) clock: Arc<dyn Clock>,
    /// The runtime of async handlers; `None` means the process's own.
    #[cfg(feature = "tokio")]
    pub(crate) runtime: Option<tokio::runtime::Handle>,
}

/// The part of a context that belongs to one run.
pub(crate) struct RunInfo {
    pub(crate) id: MessageId,
    pub(crate) header: Header,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) timeout_at: Option<Duration>,
    pub(crate) progress: Arc<LatestProgress>,
    pub(crate) limited: Limited,
}

/// Identifies the jobs that [`Context::hold_back`] holds back.
#[derive(Default)]
pub(crate) struct Limited {
    /// The request type of its handler; `None` outside of a worker.
    pub(crate) request_type: Option<&'static str>,
    /// The other names of its handler.
    pub(crate) aliases: &'static [&'static str],
    /// The function that takes the limit keys from the body, and the body; `None` if the handler has no limits by key.
    pub(crate) keys: Option<(KeysOf, OwnedBody)>,
}

impl Limited {
    fn hold_key(&self) -> Option<String> {
        let (keys, body) = self.keys.as_ref()?;
        // The handler was called, so its body is readable.
        keys(body.as_wire()).ok()?.limits.hold_key().map(str::to_owned)
    }
}

impl Context {
    pub(crate) fn new(env: Arc<WorkerEnv>, cancellation: Arc<Cancellation>, info: RunInfo) -> Self {
        let RunInfo { id, header, attempt, max_attempts, timeout_at, progress, limited } = info;
        let produced = Mutex::default();
        Self { env, id, header, attempt, max_attempts, timeout_at, cancellation, progress, produced, limited }
    }

    /// Returns the id of the message.
    #[must_use]
    pub fn id(&self) -> &MessageId {
        &self.id
    }

    /// Returns the message's header, including the keys that its producer
    /// added.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Returns the trace that the message belongs to, if its producer set one:
    /// the header `traceparent` of W3C's Trace Context. The follow-ups of this
    /// job belong to it too, unless they set another.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.header.traceparent()
    }

    /// Returns the queue's wall-clock time. Use it instead of the system clock,
    /// so that a test can set the time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.env.clock.now()
    }

    /// Returns the time that a scheduled run is for: an occurrence of `cron` or
    /// `every`, which may be some time ago, or the time at which the command
    /// `schedule run` published it. `None` if the job was published in another
    /// way.
    #[must_use]
    pub fn scheduled_for(&self) -> Option<DateTime<Utc>> {
        self.header.scheduled_for()
    }

    /// Returns the number of this run: 1 for the first.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns how many runs the message gets before it is buried.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    /// Returns the time left until the timeout of the policy ends this run:
    /// zero once it is over, `None` without a timeout.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let uptime = self.env.clock.uptime();
        self.timeout_at.map(|at| at.saturating_sub(uptime))
    }

    /// Returns whether the result of this run no longer counts: the message was cancelled, the run exceeded its
    /// timeout, its lease was lost, or the worker is stopping and the grace period is over. A plain function cannot be
    /// stopped from outside, so a long one should check this now and then, and return.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        #[cfg(feature = "testing")]
        interleave::reached();
        self.cancellation.is_cancelled()
    }

    /// Reports how far this run has come: a fraction from 0 to 1, and a text
    /// for people, which may be empty.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Import { rows: Vec<String> }
    /// #[pulpo::handler("import")]
    /// fn import(import: Import, context: &pulpo::Context) {
    ///     let all = import.rows.len();
    ///     for (done, row) in import.rows.iter().enumerate() {
    ///         context.progress(done as f64 / all as f64, format!("row {done} of {all}"));
    ///         println!("{row}");
    ///     }
    /// }
    /// ```
    ///
    /// It is cheap and never fails, so call it in every iteration of a loop if you like. The worker writes the latest
    /// report to the queue at most once a second, and only while the run lasts. `workers` and `peek` show it, and it is
    /// [`StoredMessage::progress`](crate::queue::StoredMessage::progress). A fraction that is not a number counts as 0,
    /// and one outside the range as its nearer end; a text is cut at 500 bytes. A batch reports for its first message.
    /// A queue without [`Capabilities::workers`](crate::queue::Capabilities::workers), such as beanstalkd, keeps no
    /// progress.
    pub fn progress(&self, fraction: f64, text: impl AsRef<str>) {
        #[cfg(feature = "testing")]
        interleave::reached();
        self.progress.say(Progress::new(fraction, text, self.env.clock.now()));
    }

    /// Holds back all jobs like this one for `delay`, in all workers: the jobs with the same key if the handler has
    /// `rate_by` or `limit_by`, otherwise all jobs of the handler. They wait in the queue; running jobs, including this
    /// one, go on. Use it if the handler has hit the limit of a remote service:
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct CallApi { tenant: String }
    /// # fn call(_: &str) -> Option<Duration> { None }
    /// #[pulpo::handler("call_api", rate_by(tenant) = "10/1s")]
    /// fn call_api(job: CallApi, context: &pulpo::Context) -> pulpo::Outcome {
    ///     if let Some(delay) = call(&job.tenant) {
    ///         context.hold_back(delay); // all calls of this tenant
    ///         return Err(pulpo::snooze(delay)); // and this one
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// A later call replaces an earlier one; a delay of zero ends it. If the
    /// queue cannot do this, such as beanstalkd, or cannot be reached, that is
    /// logged, and the handler carries on.
    pub fn hold_back(&self, delay: Duration) {
        let key = self.limited.hold_key();
        for name in self.limited.request_type.iter().chain(self.limited.aliases) {
            if let Err(error) = self.env.queue.hold_back(name, key.as_deref(), delay) {
                let error = chain(&error);
                tracing::warn!(id = %self.id, request_type = name, error, "cannot hold back the jobs of a handler");
                return;
            }
        }
    }

    /// Publishes a follow-up job: its body, or a [`Message`] with options. It
    /// becomes visible only if this job is done; if this run fails, it is
    /// dropped.
    ///
    /// On the embedded queue and PostgreSQL this is one transaction: both or
    /// neither. A queue that cannot do that, such as beanstalkd, takes the
    /// follow-ups before this job is deleted. If the worker dies in between,
    /// this job runs again and publishes them again.
    ///
    /// The returned message has a complete header but no id: the queue assigns
    /// it when this job is done.
    ///
    /// # Errors
    /// If the body cannot be written as JSON, or a header of the message has a
    /// name that pulpo uses. If the queue refuses the message later, when this
    /// job is done, that is a transient failure of this run.
    pub fn publish<J>(&self, message: impl IntoMessage<J>) -> Result<Message<J>, PublishError> {
        #[cfg(feature = "testing")]
        interleave::reached();
        let mut draft = message.into_draft();
        draft.message.header_mut().follow(&self.header);
        let (message, new) = self.env.producer.prepare(draft)?;
        lock(&self.produced).follow_ups.push(new);
        Ok(message)
    }

    /// Keeps the result of the job, for callers of [`status`](crate::status): any value that serde can write, up to 1
    /// MiB of JSON. A later call replaces an earlier one.
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Count { file: String }
    /// #[pulpo::handler("count")]
    /// fn count(count: Count, context: &pulpo::Context) -> pulpo::Outcome {
    ///     let lines = std::fs::read_to_string(&count.file)?.lines().count();
    ///     context.result(&lines)?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// The commit stores it, so it is kept only if this run ends well, and for as long as the done message: the time
    /// that the key `keep_done` gives. Without that key, done jobs and their results are not kept. In a batch, each
    /// message that is done gets the result.
    ///
    /// # Errors
    /// If it cannot be written as JSON, or is bigger than 1 MiB;
    /// [`ResultError::Unsupported`] on a queue that keeps no results, such as
    /// beanstalkd.
    pub fn result<R: Serialize + ?Sized>(&self, result: &R) -> Result<(), ResultError> {
        if !self.env.queue.capabilities().archive {
            return Err(ResultError::Unsupported);
        }
        lock(&self.produced).result = Some(produced::written(result)?);
        Ok(())
    }

    /// Drops the follow-ups that this run has published so far, so that the job
    /// can succeed without them:
    ///
    /// ```
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Order { lines: Vec<u32> }
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Ship { line: u32 }
    /// # #[pulpo::handler("ship")]
    /// # fn ship(_: Ship) {}
    /// #[pulpo::handler("order")]
    /// fn order(order: Order, context: &pulpo::Context) -> pulpo::Outcome {
    ///     for line in order.lines {
    ///         if line == 0 {
    ///             context.discard_published(); // this order is void: ship nothing
    ///             return Ok(());
    ///         }
    ///         context.publish(Ship { line })?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// Without it, an early `return Ok(())` sends everything that was published
    /// before. In a batch it drops the follow-ups of the whole batch.
    pub fn discard_published(&self) {
        lock(&self.produced).follow_ups.clear();
    }

    /// Runs the future of an async handler on this thread, with the timers and
    /// sockets of the runtime; drops it at its await point when this run is
    /// cancelled.
    #[cfg(feature = "tokio")]
    pub(crate) fn wait_for<R>(&self, future: impl Future<Output = R>) -> Result<R, Failure> {
        let runtime = match &self.env.runtime {
            Some(runtime) => runtime.clone(),
            None => crate::runtime::shared()?,
        };
        // Drop the future within the runtime too: its values may spawn a task in their `Drop`.
        let _inside = runtime.enter();
        let mut slot = std::pin::pin!(Some(future));
        let ended = runtime.block_on(std::future::poll_fn(|task| {
            if self.cancellation.is_cancelled_or_wakes(task.waker()) {
                return Poll::Ready(Ok(Err(transient("cancelled"))));
            }
            let Some(future) = slot.as_mut().as_pin_mut() else { return Poll::Pending };
            match catch_unwind(AssertUnwindSafe(|| future.poll(task))) {
                Ok(polled) => {
                    #[cfg(feature = "testing")]
                    if polled.is_pending() {
                        interleave::reached();
                    }
                    polled.map(|returned| Ok(Ok(returned)))
                }
                Err(panic) => Poll::Ready(Err(panic)),
            }
        }));
        // Not while a panic unwinds, since a second panic would end the process. A panic in here does not change the
        // return value of the handler.
        let _ = guard::catch(|| slot.set(None));
        ended.unwrap_or_else(|panic| resume_unwind(panic))
    }

    pub(crate) fn into_produced(self) -> Produced {
        self.produced.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("id", &self.id)
            .field("header", &self.header)
            .field("attempt", &self.attempt)
            .field("max_attempts", &self.max_attempts)
            .field("is_cancelled", &self.cancellation.is_cancelled())
            .finish_non_exhaustive()
    }
}
