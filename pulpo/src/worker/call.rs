//! Calls handlers: the only place of a worker where user code runs.
//!
//! # Invariants
//! Decoding, the handler, the conversion of its return value, the texts of its errors and the `Drop` of all of these
//! run inside the catch, and before any lock is taken. Only plain data leaves it, so that no user code can run later,
//! under a lock or on another thread.

use std::time::Duration;

use crate::context::{Context, Run, UnfitBody};
use crate::disposition::RunEnd;
use crate::guard;
use crate::message::{MessageError, WireBody};
use crate::outcome::{Failure, Outcomes, ReportedFailure, ReportedOutcomes};
use crate::registry::Handler;
use crate::shape::CAN_TRACE;

/// Calls a handler with one message and returns how the run ended. `grace` is how long a body that another version
/// wrote waits for a worker that can read it.
pub(super) fn one(handler: &Handler, body: WireBody<'_>, context: &Context, grace: Duration) -> RunEnd {
    let bodies = [body];
    let run = Run::new(&bodies, context);
    match guard::catch(|| handler.run(&run).map(|outcome| outcome.map_err(Failure::into_report))) {
        Ok(Ok(outcome)) => ended(outcome),
        Ok(Err(error)) => unreadable(handler, body, error, grace),
        Err(text) => RunEnd::Panicked(text),
    }
}

/// Calls a batch handler with the bodies that fit. Returns how the run ended for each message.
pub(super) fn batch(handler: &Handler, bodies: &[WireBody<'_>], context: &Context, grace: Duration) -> Vec<RunEnd> {
    let run = Run::new(bodies, context);
    let outcomes = guard::catch(|| handler.run_batch(&run).map(Outcomes::into_report));
    let mut unfit = run.into_unfit();
    let decoded = bodies.len() - unfit.len();
    let mut of_each: Box<dyn FnMut() -> RunEnd> = match outcomes {
        // No body was decoded.
        Ok(None) => Box::new(|| RunEnd::Done),
        Ok(Some(ReportedOutcomes::All(outcome))) => Box::new(move || ended(outcome.clone())),
        Ok(Some(ReportedOutcomes::Each(each))) if each.len() == decoded => {
            let mut each = each.into_iter();
            Box::new(move || each.next().map_or(RunEnd::Done, ended))
        }
        Ok(Some(ReportedOutcomes::Each(each))) => {
            let reason = format!(
                "expected an outcome for each of {decoded} messages, got {} from {}",
                each.len(),
                handler.function()
            );
            Box::new(move || RunEnd::Failed(ReportedFailure::transient(reason.as_str())))
        }
        Err(text) => Box::new(move || RunEnd::Panicked(text.clone())),
    };
    (0..bodies.len())
        .map(|index| match unfit.remove(&index) {
            Some(UnfitBody::Unreadable(error)) => unreadable(handler, bodies[index], error, grace),
            Some(UnfitBody::Panicked(text)) => RunEnd::Panicked(text),
            None => of_each(),
        })
        .collect()
}

/// Returns the end of a run whose body does not fit: another version of the program may have written it.
fn unreadable(handler: &Handler, body: WireBody<'_>, error: MessageError, grace: Duration) -> RunEnd {
    match body.shape().map(|theirs| (theirs, handler.shape())) {
        // A program without shapes cannot tell.
        Some((theirs, ours)) if theirs != ours || !CAN_TRACE => {
            let names = std::iter::once(handler.request_type()).chain(handler.aliases().iter().copied());
            RunEnd::OtherShape { error, request_types: names.collect(), theirs, ours, grace }
        }
        _ => RunEnd::Unreadable(error),
    }
}

fn ended(outcome: Result<(), ReportedFailure>) -> RunEnd {
    outcome.map_or_else(RunEnd::Failed, |()| RunEnd::Done)
}
