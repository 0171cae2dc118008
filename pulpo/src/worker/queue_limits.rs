//! Limits that hold over all workers, which the queue keeps: what a worker asks
//! it for, and what it cannot do.

use std::sync::Arc;

use super::options::WorkerOptions;
use crate::check::{Problem, ProblemKind};
use crate::policy::Policy;
use crate::queue::{Capabilities, Limit, LimitKind, LimitScope, Retention};
use crate::registry::{Handler, Registry};

/// The limits of these handlers and queues.
pub(super) fn all(registry: &Registry, options: &WorkerOptions) -> Arc<[Limit]> {
    let of_queues = options.queue_options.iter().flat_map(|(name, said)| {
        kinds(said.rate.map(LimitKind::Rate), said.limit)
            .map(|kind| Limit::new(LimitScope::Queue(name.clone()), kind))
            .collect::<Vec<_>>()
    });
    let of_handlers = registry.iter().flat_map(|handler| {
        let policy = policy(handler, options);
        let scope = || {
            let names = std::iter::once(handler.request_type()).chain(handler.aliases().iter().copied());
            LimitScope::handler(names, handler.batch().is_some())
        };
        let together = kinds(policy.rate.map(LimitKind::Rate), policy.limit).map(|kind| Limit::new(scope(), kind));
        let by_key =
            kinds(policy.rate_by.map(LimitKind::Rate), policy.limit_by).map(|kind| Limit::new(scope(), kind).by_key());
        together.chain(by_key).collect::<Vec<_>>()
    });
    of_queues.chain(of_handlers).collect()
}

fn kinds(rate: Option<LimitKind>, limit: Option<u32>) -> impl Iterator<Item = LimitKind> {
    rate.into_iter().chain(limit.map(LimitKind::Running))
}

fn policy(handler: &Handler, options: &WorkerOptions) -> Policy {
    let changed = options.handlers.get(handler.request_type());
    changed.map_or_else(|| handler.policy().clone(), |changed| changed.apply(handler.policy()))
}

/// What a queue that can do this cannot keep of these handlers and options.
pub(crate) fn unsupported(registry: &Registry, options: &WorkerOptions, able: Capabilities) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !able.unique_keys {
        let unique = registry.iter().filter(|handler| handler.is_unique());
        problems.extend(unique.map(|handler| {
            let message = format!(
                "{} is unique, and this queue cannot keep jobs unique: use one that can (`file:FOLDER`, \
                 `postgres://…`), or remove `unique`",
                handler.described()
            );
            Problem::new(ProblemKind::Configuration, message).at(handler.file(), handler.line())
        }));
    }
    if !able.archive && options.retention != Retention::default() {
        let message = "`keep_done` and `keep_buried` need a queue that keeps what is done, which this one does not: use \
                       one that does (`file:FOLDER`, `postgres://…`), or remove the keys";
        problems.push(Problem::new(ProblemKind::Configuration, message.to_owned()));
    }
    if able.limits {
        return problems;
    }
    let cannot = "over all workers, which this queue cannot keep: use one that can (`file:FOLDER`, `postgres://…`), \
                  or limit each worker by";
    for handler in registry.iter() {
        let policy = policy(handler, options);
        let said = [
            ("rate", policy.rate.is_some()),
            ("limit", policy.limit.is_some()),
            ("rate_by", policy.rate_by.is_some()),
            ("limit_by", policy.limit_by.is_some()),
        ];
        if let Some((argument, _)) = said.into_iter().find(|(_, is_said)| *is_said) {
            let name = handler.request_type();
            let message =
                format!("{} has `{argument}` {cannot} `concurrency` in `[handlers.{name}]`", handler.described());
            problems.push(Problem::new(ProblemKind::Configuration, message).at(handler.file(), handler.line()));
        }
    }
    for (name, said) in &options.queue_options {
        let limited = [("rate", said.rate.is_some()), ("limit", said.limit.is_some())];
        if let Some((key, _)) = limited.into_iter().find(|(_, is_said)| *is_said) {
            let at = if said.origin.is_empty() { String::new() } else { format!("{}: ", said.origin) };
            let message = format!("{at}`queues.{name}.{key}` holds {cannot} `queues.{name}.concurrency`");
            problems.push(Problem::new(ProblemKind::Configuration, message));
        }
    }
    problems
}
