//! Items for the output of the macros. None of them is a public interface: they change without notice.

use std::time::Duration;

pub use inventory::submit;
pub use pulpo_macros::beside;
#[cfg(feature = "cli")]
pub use pulpo_macros::program;

pub use super::__outcome_async;

#[cfg(feature = "cli")]
pub use crate::cli::{Program, main};
pub use crate::context::{Parameter, Run};
use crate::job::IntoMessage as _;
use crate::job::Job;
pub use crate::job::{ByMacro, HasOneHandler, Keys, NamesOneJob, NoJob, RequestType};
pub use crate::keys::{OnDuplicate, UniqueFor};
pub use crate::message::MessageError;
pub use crate::outcome::{IntoOutcome, IntoOutcomes, Outcome, Outcomes};
pub use crate::queue::backend::{Factory, Registration};
use crate::registry::{Batch, Call};
pub use crate::registry::{Handler, JobDeclaration};
use crate::schedule::{Cron, Entry, Missed, Overlap, Schedule};
#[cfg(feature = "cli")]
pub use crate::setup::{Mains, SetUp, set_up};
pub use crate::state::Needed;

/// Writes the values of a body that make up one of its keys.
pub fn values<T: serde::Serialize + ?Sized>(values: &T) -> Result<Box<serde_json::value::RawValue>, serde_json::Error> {
    crate::job::values(values)
}

/// Creates a registry entry.
pub const fn handler<J: Job>(
    function: &'static str,
    file: &'static str,
    line: u32,
    run: fn(&Run<'_>) -> Result<Outcome, MessageError>,
    needs: &'static [fn() -> Option<Needed>],
) -> Handler {
    Handler::new::<J>(function, file, line, Call::One(run), needs)
}

/// Creates the registry entry of a batch handler.
pub const fn batch_handler<J: Job>(
    function: &'static str,
    file: &'static str,
    line: u32,
    run: fn(&Run<'_>) -> Option<Outcomes>,
    needs: &'static [fn() -> Option<Needed>],
    most: u32,
    linger: Duration,
) -> Handler {
    Handler::new::<J>(function, file, line, Call::Batch(Batch { most: most as usize, linger, run }), needs)
}

/// The requirement on the body of a scheduled job: a value for runs without a publication.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the body of a scheduled job",
    label = "it needs a default: `#[derive(Default)]`",
    note = "a job with `cron` or `every` is published by its schedule, so its body is the default of the type"
)]
pub trait ScheduledBody: Sized {
    /// Creates the default value.
    fn make() -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Default> ScheduledBody for T {
    fn make() -> Self {
        Self::default()
    }
}

/// Adds a schedule to a registry entry.
pub const fn scheduled<J: Job + ScheduledBody>(handler: Handler, schedule: Schedule) -> Handler {
    handler.scheduled(schedule, |producer, at| {
        let mut message = crate::message::Message::new(J::make());
        message.header_mut().scheduled_for = Some(at);
        producer.prepare(message.into_draft()).map(|(_, new)| new)
    })
}

/// Creates a schedule from the words of the attribute.
pub const fn schedule(entries: &'static [Entry], missed: &'static str, overlap: &'static str) -> Schedule {
    let missed = match missed.as_bytes() {
        b"all" => Missed::All,
        b"skip" => Missed::Skip,
        _ => Missed::One,
    };
    let overlap = match overlap.as_bytes() {
        b"allow" => Overlap::Allow,
        _ => Overlap::Skip,
    };
    Schedule::new(entries, missed, overlap)
}

/// Creates an entry from a cron expression in a time zone, with a bit for each value of its fields.
#[allow(clippy::too_many_arguments, reason = "the five fields, and what is beside them")]
pub const fn cron(
    text: &'static str,
    zone: &'static str,
    minutes: u64,
    hours: u32,
    days: u32,
    months: u16,
    weekdays: u8,
    either_day: bool,
) -> Entry {
    Entry::cron(text, Cron { minutes, hours, days, months, weekdays, either_day }, zone)
}

/// Creates an entry from a period.
pub const fn every(period: Duration) -> Entry {
    Entry::every(period)
}

/// Decodes the bodies of a batch, without those that do not fit.
pub fn decode_all<J: Job>(run: &Run<'_>) -> Option<Vec<J>> {
    run.bodies()
}

/// The type of one body, named inside a `Vec` of bodies.
pub type One<B> = B;

/// Requires that a job has one handler: with two, rustc asks which one is meant.
pub const fn a_job_has_one_handler_so_remove_one_of_the_two<J: HasOneHandler<H>, H>() {}

/// A question to the compiler, by its number: see `asks.rs` of the macros.
#[derive(Debug)]
pub struct Ask<const NUMBER: u64>;

/// A question that was asked. `K` is a type of the crate that asks, so that any crate may.
pub trait Asked<K> {
    /// Its value, if the answer is right.
    const ANSWER: usize;
}

/// Has a question come after others: its value is that of theirs.
pub const fn after<const ANSWERS: usize>() {}

/// Asks whether there is such a function.
pub const fn answer(_: fn()) -> usize {
    0
}

/// Requires that a request type has one job: with two, rustc asks which one is meant.
pub const fn a_request_type_names_one_job_so_rename_one_of_the_two<R: NamesOneJob<J>, J>() {}

/// Replaces a handler whose signature rustc can read but the macro cannot. The build refuses it.
pub const fn a_handler_that_pulpo_can_read<const N: usize>() {
    const { panic!("expected a handler whose signature pulpo can read: write it as a plain `fn` or `async fn`") }
}

/// Requires that a type is a job.
pub const fn is_a_job<J: Job>() {}

/// Creates the registry entry of a job that is declared on its body type.
pub const fn declared<J: Job>(file: &'static str, line: u32) -> JobDeclaration {
    JobDeclaration::new::<J>(file, line)
}

/// Decodes the body of a message for its handler.
pub fn decode<J: Job>(run: &Run<'_>) -> Result<J, MessageError> {
    run.body().decode()
}

/// Runs the future of an async handler, and converts its return value.
#[cfg(feature = "tokio")]
pub fn outcome_async<R>(
    run: &Run<'_>,
    into_outcome: fn(R) -> Outcome,
    future: impl Future<Output = R> + Send,
) -> Outcome {
    into_outcome(run.context.wait_for(future)?)
}

/// Runs the future of an async batch handler, and converts its return value.
#[cfg(feature = "tokio")]
pub fn outcomes_async<R>(
    run: &Run<'_>,
    into_outcomes: fn(R) -> Outcomes,
    future: impl Future<Output = R> + Send,
) -> Outcomes {
    run.context.wait_for(future).map_or_else(|failure| Outcomes::All(Err(failure)), into_outcomes)
}

/// Runs an async handler. It lives here because only this crate knows whether a runtime is compiled in.
#[cfg(feature = "tokio")]
#[doc(hidden)]
#[macro_export]
macro_rules! __outcome_async {
    ($kind:ident, $run:expr, $into:expr, $call:expr) => {
        $crate::__private::$kind($run, $into, $call)
    };
}

/// Stands in for the runtime when none is compiled in.
#[cfg(not(feature = "tokio"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __outcome_async {
    ($($anything:tt)*) => {
        ::core::compile_error!(
            "an `async fn` handler needs the feature `tokio` of pulpo: add it to `features` in Cargo.toml, \
             or write a plain `fn`"
        )
    };
}

/// Creates an entry for the list of queue adapters.
pub const fn backend(factory: &'static dyn Factory, file: &'static str, line: u32) -> Registration {
    Registration::new(factory, file, line)
}

/// Registers a queue adapter, so that a configuration can name it: its
/// [`Factory`](crate::queue::backend::Factory), as a constant expression.
///
/// ```ignore
/// pulpo::register_backend!(LineFactory);
/// ```
///
/// Put it in any module of any crate that is linked into the program; see [`guide::adapters`](crate::guide::adapters).
#[macro_export]
macro_rules! register_backend {
    ($factory:expr) => {
        $crate::__private::submit! {
            $crate::__private::backend(&$factory, ::core::file!(), ::core::line!())
        }
    };
}

/// Returns the shape of a type as a message carries it, for benchmarks.
pub fn shape_id<B: serde::de::DeserializeOwned + 'static>() -> String {
    crate::shape::ShapeId::of::<B>().to_string()
}

/// Traces a type as its first publication does, for benchmarks.
pub fn traced_shape<B: serde::de::DeserializeOwned>() -> String {
    crate::shape::Shape::traced(crate::decode::probe::<B>).to_string()
}
