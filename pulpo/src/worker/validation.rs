//! Validates the options of a worker: finds options for handlers and queues that it does not have, and requirements
//! that its queue cannot meet.

use super::limits::own_queue;
use super::options::WorkerOptions;
use super::queue_limits::policy;
use super::queues::{known_queues, queues};
use crate::check::{Problem, ProblemKind};
use crate::queue::{Capabilities, Retention};
use crate::registry::{Handler, Registry, nearest};

/// Finds options for handlers and queues that this worker does not have.
pub(crate) fn problems(registry: &Registry, options: &WorkerOptions) -> Vec<Problem> {
    let of_handlers = options.handlers.iter().filter_map(|(name, said)| {
        Some(problem(&said.origin, &of_handler(registry, name, said.batch.is_some() || said.linger.is_some())?))
    });
    let of_handlers: Vec<_> = of_handlers.collect();
    let mut problems = of_handlers;
    problems.extend(of_queues(registry, options));
    if options.listen.is_some() && cfg!(not(feature = "http")) {
        problems.push(problem("", "`listen` needs pulpo's feature `http`, which this program was built without"));
    }
    if queues(registry, options).is_empty() {
        let first = options.queue_options.values().find(|said| said.enabled == Some(false));
        problems.push(problem(first.map_or("", |said| &said.origin), "no queue is left to work: all are disabled"));
    }
    problems
}

/// Returns what is wrong with the options of one handler.
fn of_handler(registry: &Registry, name: &str, changes_batch: bool) -> Option<String> {
    match registry.get(name) {
        Some(handler) if handler.request_type() != name => Some(format!(
            "`handlers.{name}`: `{name}` is an alias of `{0}`: configure `handlers.{0}`",
            handler.request_type()
        )),
        Some(handler) if handler.batching().is_none() && changes_batch => {
            Some(format!("`handlers.{name}` has no `batch` in its attribute: it takes one message at a time"))
        }
        Some(_) => None,
        None => Some(match registry.nearest(name) {
            Some(near) => format!("`handlers.{name}`: there is no handler `{name}`; did you mean `{near}`?"),
            None => format!("`handlers.{name}`: there is no handler `{name}`; there are {}", registry.known()),
        }),
    }
}

/// Finds options of queues that no handler uses.
fn of_queues(registry: &Registry, options: &WorkerOptions) -> Vec<Problem> {
    let known = known_queues(registry, options);
    let unknown = options.queue_options.iter().filter(|(name, _)| !known.contains(*name));
    let problem_of = |(name, said): (&String, &super::options::QueueOptions)| {
        let advice = match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", known.iter().cloned().collect::<Vec<_>>().join(", ")),
        };
        problem(&said.origin, &format!("`queues.{name}`: no handler has the queue `{name}`; {advice}"))
    };
    unknown.map(problem_of).collect()
}

/// Finds requirements of handlers and options that the queue cannot meet.
pub(crate) fn unsupported(registry: &Registry, options: &WorkerOptions, able: Capabilities) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !able.unique_keys {
        problems.extend(registry.iter().filter(|handler| handler.is_unique()).map(not_unique));
    }
    if !able.archive && options.retention != Retention::default() {
        let message = "`keep_done` and `keep_buried` need a queue that keeps what is done, which this one does not: use \
                       one that does (`file:FOLDER`, `postgres://…`), or remove the keys";
        problems.push(problem("", message));
    }
    if !able.limits {
        problems.extend(limits_over_all_workers(registry, options));
    }
    problems
}

fn not_unique(handler: &Handler) -> Problem {
    let message = format!(
        "{} is unique, and this queue cannot keep jobs unique: use one that can (`file:FOLDER`, `postgres://…`), or \
         remove `unique`",
        handler.described()
    );
    problem("", &message).at(handler.file(), handler.line())
}

/// Names what is said, in words, and the pronoun for it; `None` if nothing is.
fn listed(prefix: &str, said: &[(&str, bool)]) -> Option<(&'static str, String)> {
    let names: Vec<_> =
        said.iter().filter(|(_, is_said)| *is_said).map(|(name, _)| format!("`{prefix}{name}`")).collect();
    let (last, others) = names.split_last()?;
    Some(if others.is_empty() { ("it", last.clone()) } else { ("them", format!("{} and {last}", others.join(", "))) })
}

/// Finds limits across all workers that their queue does not support.
fn limits_over_all_workers(registry: &Registry, options: &WorkerOptions) -> Vec<Problem> {
    let cannot = "over all workers, which this queue cannot keep: use one that can (`file:FOLDER`, `postgres://…`), \
                  or remove";
    let mut problems = Vec::new();
    for handler in registry.iter() {
        let policy = policy(handler, options);
        let said = [
            ("rate", policy.rate.is_some()),
            ("limit", policy.limit.is_some()),
            ("rate_by", policy.rate_by.is_some()),
            ("limit_by", policy.limit_by.is_some()),
        ];
        if let Some((them, all)) = listed("", &said) {
            let name = handler.request_type();
            let message = format!(
                "{} has {all} {cannot} {them} and limit each worker by `concurrency` in `[handlers.{name}]`",
                handler.described()
            );
            problems.push(problem("", &message).at(handler.file(), handler.line()));
        }
    }
    for (name, said) in &options.queue_options {
        let limited = [("rate", said.rate.is_some()), ("limit", said.limit.is_some())];
        if let Some((them, all)) = listed(&format!("queues.{name}."), &limited) {
            let verb = if them == "it" { "holds" } else { "hold" };
            let message = format!("{all} {verb} {cannot} {them} and limit each worker by `queues.{name}.concurrency`");
            problems.push(problem(&said.origin, &message));
        }
    }
    problems
}

/// Finds limits of this worker that it cannot enforce, because the queue cannot leave out limited jobs.
pub(super) fn unkept(registry: &Registry, options: &WorkerOptions, able: Capabilities) -> Vec<Problem> {
    let refused = |origin: &str, key: String, cannot: &str| {
        let advice = "give the handler a queue of its own, `queue = \"its_name\"` in its attribute";
        problem(origin, &format!("{key} cannot be enforced: this queue cannot {cannot}; {advice}"))
    };
    let queues = options.queue_options.iter().filter(|(_, said)| said.concurrency.is_some() && !able.picks_queues);
    let queues =
        queues.map(|(name, said)| refused(&said.origin, format!("`queues.{name}.concurrency`"), "leave out a queue"));
    let handlers = registry.iter().filter(|_| !able.picks_types).filter_map(|handler| {
        let name = handler.request_type();
        let said = options.handlers.get(name).filter(|said| said.concurrency.is_some())?;
        let is_kept = able.picks_queues && own_queue(registry, handler, options).is_some();
        (!is_kept).then(|| refused(&said.origin, format!("`handlers.{name}.concurrency`"), "pick by request type"))
    });
    queues.chain(handlers).collect()
}

/// Returns a mistake in the configuration, with its place.
fn problem(origin: &str, message: &str) -> Problem {
    let at = if origin.is_empty() { String::new() } else { format!("{origin}: ") };
    Problem::new(ProblemKind::Configuration, format!("{at}{message}"))
}
