//! Results of handlers, and what they mean for the job.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::guard;
use crate::report::chain;

/// The result of a handler: done, or a [`Failure`].
///
/// `?` turns any std error into a transient failure.
pub type Outcome = Result<(), Failure>;

/// The failure of a run: the error, and what to do with the job.
///
/// `?` creates a transient one, after which the job is retried, from any std
/// error, `anyhow::Error`, `String` or `&str`. [`fatal`] and
/// [`ResultExt::fatal`] create one that buries the job, [`retry_after`] and
/// [`ResultExt::retry_after`] one that sets when to retry.
pub struct Failure {
    kind: FailureKind,
    error: Box<dyn Error + Send + Sync>,
}

/// A [`Failure`] as plain data, with no user types left in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReportedFailure {
    pub(crate) kind: FailureKind,
    /// The error and its sources.
    pub(crate) text: String,
}

impl ReportedFailure {
    pub(crate) fn transient(text: impl Into<String>) -> Self {
        Self { kind: FailureKind::Transient, text: text.into() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    Transient,
    RetryAfter(Duration),
    Snooze(Duration),
    Fatal,
}

/// Creates a failure that retrying cannot fix: the job is buried, for you to
/// look at.
///
/// ```
/// fn send(to: &str) -> pulpo::Outcome {
///     if to.is_empty() {
///         return Err(pulpo::fatal("no recipient"));
///     }
///     Ok(())
/// }
/// assert!(send("").unwrap_err().is_fatal());
/// ```
pub fn fatal(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
    Failure { kind: FailureKind::Fatal, error: error.into() }
}

/// Creates a failure that retrying may fix: the job is retried after the
/// backoff of its policy.
pub fn transient(error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
    Failure { kind: FailureKind::Transient, error: error.into() }
}

/// Creates a failure after which the job is retried in `delay` instead of the
/// backoff of its policy. It counts as an attempt like any other.
pub fn retry_after(delay: Duration, error: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
    Failure { kind: FailureKind::RetryAfter(delay), error: error.into() }
}

/// Puts the job off: it runs again in `delay`, and this run does not count as an attempt. Use it if something that the
/// job needs is not there yet, or a service takes no more requests for a while.
///
/// On a queue without [`Capabilities::uncounted_rollbacks`], such as
/// beanstalkd, it still counts as an attempt.
///
/// [`Capabilities::uncounted_rollbacks`]: crate::queue::Capabilities
///
/// ```
/// use std::time::Duration;
///
/// fn fetch(status: u16) -> pulpo::Outcome {
///     if status == 429 {
///         return Err(pulpo::snooze(Duration::from_secs(30)));
///     }
///     Ok(())
/// }
/// assert_eq!(fetch(429).unwrap_err().to_string(), "snoozed for 30s");
/// ```
#[must_use = "a job is snoozed by returning this: `return Err(pulpo::snooze(…))`"]
pub fn snooze(delay: Duration) -> Failure {
    let error = format!("{SNOOZED}{}", humantime::format_duration(delay)).into();
    Failure { kind: FailureKind::Snooze(delay), error }
}

/// The prefix of a snooze's reason.
pub(crate) const SNOOZED: &str = "snoozed for ";

impl Failure {
    /// Converts it into plain data. The error is formatted and dropped here,
    /// inside the catch of the run, so neither can change the outcome.
    pub(crate) fn into_report(self) -> ReportedFailure {
        let text = chain(&*self.error);
        guard::discard(self.error);
        ReportedFailure { kind: self.kind, text }
    }

    #[cfg(test)]
    pub(crate) fn kind(&self) -> FailureKind {
        self.kind
    }

    /// Returns whether the job will be buried.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.kind == FailureKind::Fatal
    }

    /// Returns the error alone.
    #[cfg(feature = "cli")]
    pub(crate) fn into_error(self) -> Box<dyn Error + Send + Sync> {
        self.error
    }

    /// Returns the error that it was created from.
    #[must_use]
    pub fn error(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.error
    }
}

/// Shows the error and its sources, each once:
/// `receipt.eml: permission denied`.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(&*self.error))
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({self})", self.kind)
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        transient(error)
    }
}

/// Adds `.fatal()?` and `.retry_after(d)?` to any result.
///
/// ```
/// use pulpo::ResultExt as _;
///
/// fn parse(text: &str) -> Result<u32, pulpo::Failure> {
///     Ok(text.parse().fatal()?) // no later attempt will read it
/// }
/// assert!(parse("x").unwrap_err().is_fatal());
/// ```
pub trait ResultExt<T> {
    /// Turns an error into one that buries the job.
    ///
    /// # Errors
    /// The error of `self`, as a fatal failure.
    fn fatal(self) -> Result<T, Failure>;

    /// Turns an error into one that retries the job in `delay`.
    ///
    /// # Errors
    /// The error of `self`, as a failure with this delay.
    fn retry_after(self, delay: Duration) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> ResultExt<T> for Result<T, E> {
    fn fatal(self) -> Result<T, Failure> {
        self.map_err(|error| Failure { kind: FailureKind::Fatal, ..error.into() })
    }

    fn retry_after(self, delay: Duration) -> Result<T, Failure> {
        self.map_err(|error| Failure { kind: FailureKind::RetryAfter(delay), ..error.into() })
    }
}

/// Types that a handler may return: `()`, or `Result<(), E>` where `E` is any
/// std error, `anyhow::Error` or [`Failure`].
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "expected `()` or `Result<(), E>`, where `E` is a std error that is `Send + Sync`, \
             `Box<dyn Error + Send + Sync>`, `anyhow::Error` or `pulpo::Failure`",
    note = "`pulpo::Outcome` is short for `Result<(), pulpo::Failure>`, which takes any error by `?`"
)]
pub trait IntoOutcome {
    /// Converts it into an [`Outcome`].
    ///
    /// # Errors
    /// The error of `self`.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Ok(())
    }
}

#[diagnostic::do_not_recommend]
impl<E: Into<Failure>> IntoOutcome for Result<(), E> {
    fn into_outcome(self) -> Outcome {
        self.map_err(Into::into)
    }
}

/// The result of a batch handler: one outcome for all its messages, or one for
/// each.
#[derive(Debug)]
#[doc(hidden)]
pub enum Outcomes {
    All(Outcome),
    Each(Vec<Outcome>),
}

/// The result of a batch handler, as plain data.
#[derive(Debug)]
pub(crate) enum ReportedOutcomes {
    All(Result<(), ReportedFailure>),
    Each(Vec<Result<(), ReportedFailure>>),
}

impl Outcomes {
    /// Converts it into plain data. A misbehaving error of one message leaves the others alone.
    pub(crate) fn into_report(self) -> ReportedOutcomes {
        let report = |outcome: Outcome| outcome.map_err(Failure::into_report);
        match self {
            Self::All(outcome) => ReportedOutcomes::All(report(outcome)),
            Self::Each(each) => ReportedOutcomes::Each(each.into_iter().map(report).collect()),
        }
    }
}

/// Types that a batch handler may return: `()` or `Result<(), E>` for all
/// messages together, `Vec<Outcome>` or `Result<Vec<Outcome>, E>` with one
/// outcome per message, in the order in which they were passed.
#[diagnostic::on_unimplemented(
    message = "a batch handler cannot return `{Self}`",
    label = "expected `()` or `Result<(), E>` for all messages, \
             or `Vec<pulpo::Outcome>` or `Result<Vec<pulpo::Outcome>, E>` for each",
    note = "`E` is a std error that is `Send + Sync`, `Box<dyn Error + Send + Sync>`, `anyhow::Error` or `pulpo::Failure`"
)]
pub trait IntoOutcomes {
    #[doc(hidden)]
    fn into_outcomes(self) -> Outcomes;
}

impl IntoOutcomes for () {
    fn into_outcomes(self) -> Outcomes {
        Outcomes::All(Ok(()))
    }
}

#[diagnostic::do_not_recommend]
impl<E: Into<Failure>> IntoOutcomes for Result<(), E> {
    fn into_outcomes(self) -> Outcomes {
        Outcomes::All(self.map_err(Into::into))
    }
}

#[diagnostic::do_not_recommend]
impl IntoOutcomes for Vec<Outcome> {
    fn into_outcomes(self) -> Outcomes {
        Outcomes::Each(self)
    }
}

#[diagnostic::do_not_recommend]
impl<E: Into<Failure>> IntoOutcomes for Result<Vec<Outcome>, E> {
    fn into_outcomes(self) -> Outcomes {
        self.map_or_else(|error| Outcomes::All(Err(error.into())), Outcomes::Each)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot send")]
    struct Outer(#[source] std::io::Error);

    fn outer() -> Outer {
        Outer(std::io::Error::other("connection refused"))
    }

    #[test]
    fn any_error_is_transient_by_question_mark() {
        fn io() -> Outcome {
            Err(outer())?
        }
        fn text() -> Outcome {
            Err("no luck")?
        }
        fn boxed() -> Outcome {
            Err::<(), Box<dyn Error + Send + Sync>>("boxed".into())?;
            Ok(())
        }
        for outcome in [io(), text(), boxed()] {
            assert_eq!(outcome.expect_err("failed").kind(), FailureKind::Transient);
        }
    }

    #[test]
    fn the_mark_can_be_changed_on_any_result() {
        let wait = Duration::from_secs(3);
        assert_eq!(Err::<(), _>(outer()).fatal().expect_err("failed").kind(), FailureKind::Fatal);
        let failure = Err::<(), _>(fatal("x")).retry_after(wait).expect_err("failed");
        assert_eq!(failure.kind(), FailureKind::RetryAfter(wait));
    }

    #[test]
    fn the_reason_names_all_sources_once() {
        assert_eq!(fatal(outer()).to_string(), "cannot send: connection refused");
        assert_eq!(fatal(std::io::Error::other(outer())).to_string(), "cannot send: connection refused");
        assert_eq!(format!("{:?}", fatal("x")), "Fatal(x)");
    }

    /// An error whose `Display` fails, and that panics when it is dropped.
    #[derive(Debug)]
    struct Odd;

    impl fmt::Display for Odd {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            Err(fmt::Error)
        }
    }

    impl Error for Odd {}

    impl Drop for Odd {
        fn drop(&mut self) {
            panic!("in Drop");
        }
    }

    #[test]
    fn an_odd_error_leaves_what_the_handler_said() {
        let wait = Duration::from_secs(3);
        for (failure, kind) in [
            (fatal(Odd), FailureKind::Fatal),
            (retry_after(wait, Odd), FailureKind::RetryAfter(wait)),
            (Failure::from(Odd), FailureKind::Transient),
        ] {
            let text = crate::report::UNSHOWABLE.to_owned();
            assert_eq!(failure.into_report(), ReportedFailure { kind, text });
        }
        let outcomes = Outcomes::Each(vec![Ok(()), Err(Odd.into()), Ok(())]).into_report();
        let ReportedOutcomes::Each(each) = outcomes else { panic!("of each") };
        assert_eq!(each.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    }
}
