//! Checks that a program can do its jobs, before any is taken: when a worker starts, and in the command `check`.

use std::fmt;

#[cfg(feature = "cli")]
use chrono::{DateTime, Utc};
use serde::Serialize;

#[cfg(feature = "cli")]
use crate::outbox::{self, OutboxUrl};
use crate::policy::Policy;
use crate::registry::{DuplicateHandler, Handler, JobDeclaration, Registry, RegistryError};
#[cfg(feature = "cli")]
use crate::report::chain;
use crate::schedule::Schedule;
use crate::state::States;

/// A problem of a program.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// The kind of problem.
    pub kind: ProblemKind,
    /// The fault, and the remedy.
    pub message: String,
    /// The source file to look at, if any.
    pub file: Option<&'static str>,
    /// The line in that file.
    pub line: Option<u32>,
}

/// The kind of a [`Problem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// There is no handler at all.
    NoHandlers,
    /// A request type has two handlers.
    DuplicateHandler,
    /// A handler's state is missing.
    MissingState,
    /// A state was provided twice.
    DuplicateState,
    /// The `setup` of the program failed.
    Setup,
    /// A policy cannot be applied.
    Policy,
    /// A declared job has no handler.
    Unhandled,
    /// A handler has a schedule, and neither the queue nor a folder keeps it.
    Schedule,
    /// The configuration asks for something that this program cannot do.
    Configuration,
    /// An outbox cannot be read: its file or its table is missing. A warning where only its server does not answer.
    Outbox,
    /// A warning: a variable of the environment is not a configuration key.
    Environment,
    /// A warning: the program was built with `panic = "abort"`.
    PanicAbort,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Several problems, as one error.
pub(crate) struct Listed<'a>(pub(crate) &'a [Problem]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if index > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

impl Problem {
    pub(crate) fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), file: None, line: None }
    }

    pub(crate) fn at(mut self, file: &'static str, line: u32) -> Self {
        (self.file, self.line) = (Some(file), Some(line));
        self
    }

    fn of_duplicate(duplicate: &DuplicateHandler) -> Self {
        Self::new(ProblemKind::DuplicateHandler, duplicate.to_string())
            .at(duplicate.second().file(), duplicate.second().line())
    }
}

/// Returns all problems of the handlers and their states.
pub(crate) fn all(registry: &Registry, states: &States) -> Vec<Problem> {
    handlers(registry).into_iter().chain(self::states(registry, states)).collect()
}

/// Returns all problems of the handlers, without their states.
pub(crate) fn handlers(registry: &Registry) -> Vec<Problem> {
    let mut problems: Vec<_> = registry.duplicates().iter().map(Problem::of_duplicate).collect();
    if registry.iter().next().is_none() {
        problems.push(Problem::new(ProblemKind::NoHandlers, RegistryError::Empty.to_string()));
    }
    for handler in registry.iter() {
        problems.extend(fault(handler.policy()).map(|fault| {
            let message = format!("the policy of {}: {fault}", handler.described());
            Problem::new(ProblemKind::Policy, message).at(handler.file(), handler.line())
        }));
    }
    problems
}

/// Returns the states that handlers need and are missing, and those provided twice.
pub(crate) fn states(registry: &Registry, states: &States) -> Vec<Problem> {
    let mut missing: Vec<(&'static str, Vec<&'static Handler>)> = Vec::new();
    for handler in registry.iter() {
        for needed in handler.needed().filter(|needed| !states.has(needed)) {
            match missing.iter_mut().find(|(name, _)| *name == needed.type_name) {
                Some((_, handlers)) => handlers.push(handler),
                None => missing.push((needed.type_name, vec![handler])),
            }
        }
    }
    let missing = missing.into_iter().map(|(name, handlers)| {
        let all: Vec<_> = handlers.iter().map(|handler| handler.described()).collect();
        let message = format!(
            "missing state `{name}`, which is needed by {}: provide it with `app.state(…)` in the `setup` of \
             `pulpo::main!`, or with `worker.state(…)`",
            all.join(" and by "),
        );
        let problem = Problem::new(ProblemKind::MissingState, message);
        handlers.first().map_or(problem.clone(), |handler| problem.at(handler.file(), handler.line()))
    });
    let again = states.given_again().iter().map(|(first, second)| {
        let message = format!(
            "the state `{}` is provided at {}:{} and again at {}:{}: wrap one in its own type",
            first.type_name,
            first.place.file(),
            first.place.line(),
            second.place.file(),
            second.place.line(),
        );
        Problem::new(ProblemKind::DuplicateState, message).at(second.place.file(), second.place.line())
    });
    missing.chain(again).collect()
}

/// Returns the handlers with a schedule that neither the queue nor a folder can keep.
pub(crate) fn schedules(scheduled: impl Iterator<Item = (&'static Handler, &'static Schedule)>) -> Vec<Problem> {
    let problem = |(handler, _): (&'static Handler, _)| {
        let name = handler.request_type();
        let message = format!(
            "{} runs by a schedule, and this queue keeps none: name a folder that all workers share, \
             `schedule_store = \"file:./pulpo-schedules\"`, or switch the schedule off, `[handlers.{name}] cron = \"off\"`",
            handler.described(),
        );
        Problem::new(ProblemKind::Schedule, message).at(handler.file(), handler.line())
    };
    scheduled.map(problem).collect()
}

/// Checks each outbox. Returns the problems of those whose rows no relay can move, and warnings of those whose server
/// does not answer now.
#[cfg(feature = "cli")]
pub(crate) fn outboxes(urls: &[OutboxUrl], now: DateTime<Utc>) -> (Vec<Problem>, Vec<Problem>) {
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    for url in urls {
        let Err((error, may_be_away)) = outbox::check(url, now) else { continue };
        let message = format!("cannot read the outbox at {url}: {}", chain(&*error.into_source()));
        if may_be_away { &mut warnings } else { &mut problems }.push(Problem::new(ProblemKind::Outbox, message));
    }
    (problems, warnings)
}

/// Returns the declared jobs without a handler. They do not keep this worker from starting, since another may have the
/// handler.
pub(crate) fn unhandled(registry: &Registry) -> Vec<Problem> {
    let problem = |declared: &'static JobDeclaration| {
        let (name, body, file, line) =
            (declared.request_type(), declared.body_type(), declared.file(), declared.line());
        let message = format!(
            "no handler for the job `{name}`, which is declared on {body} ({file}:{line}): \
             write one, `#[pulpo::handler] fn …(body: {})`, or name the crate that has it in `pulpo::main!`",
            body.rsplit("::").next().unwrap_or(body)
        );
        Problem::new(ProblemKind::Unhandled, message).at(file, line)
    };
    registry.unhandled().map(problem).collect()
}

/// Returns the problem of how this program was built, if any. A worker still starts.
pub(crate) fn build() -> Option<Problem> {
    of_build(cfg!(panic = "abort"))
}

fn of_build(aborts_on_panic: bool) -> Option<Problem> {
    let message = "this program was built with `panic = \"abort\"`: a handler that panics ends the whole worker, and \
                   the run of each job in hand counts as an attempt; build with `panic = \"unwind\"`, which is the \
                   default, so that a panic is an error of its job alone";
    aborts_on_panic.then(|| Problem::new(ProblemKind::PanicAbort, message))
}

/// Returns the fault of a policy, if any. The attribute produces none of these: they come from a `Job` that was
/// implemented by hand.
fn fault(policy: &Policy) -> Option<&'static str> {
    let second = std::time::Duration::from_secs(1);
    if policy.max_attempts == 0 {
        Some("expected at least one attempt, got max_attempts = 0")
    } else if policy.backoff.first.is_zero() {
        Some("expected a backoff longer than zero; otherwise a failed job would run again at once")
    } else if policy.backoff.first > policy.backoff.most {
        Some("expected a backoff from the shortest delay to the longest, got the reverse")
    } else if policy.ttr < second {
        Some("expected a ttr of at least a second")
    } else if policy.timeout.is_some_and(|timeout| timeout.is_zero()) {
        Some("expected a timeout longer than zero")
    } else if policy.queue.is_some_and(str::is_empty) {
        Some("expected the name of a queue, got an empty string")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_build_that_aborts_on_a_panic_is_a_warning() {
        let warning = of_build(true).expect("a warning");
        assert_eq!(warning.kind, ProblemKind::PanicAbort);
        assert!(warning.message.contains("build with `panic = \"unwind\"`"), "{warning}");
        assert!(of_build(false).is_none());
    }

    #[test]
    fn a_policy_that_no_job_can_be_run_by_is_found() {
        let good = Policy::DEFAULT;
        assert_eq!(fault(&good), None);
        for bad in [
            good.clone().max_attempts(0),
            good.clone().backoff(Duration::ZERO, Duration::ZERO),
            good.clone().backoff(Duration::from_secs(2), Duration::from_secs(1)),
            good.clone().ttr(Duration::from_millis(999)),
            good.clone().timeout(Duration::ZERO),
            good.queue(""),
        ] {
            assert!(fault(&bad).is_some(), "{bad:?}");
        }
    }
}
