//! The limits across all workers, which a worker asks the queue to enforce.

use std::sync::Arc;

use super::options::WorkerOptions;
use crate::policy::Policy;
use crate::queue::{Limit, LimitKind, LimitScope};
use crate::registry::{Handler, Registry};

/// Returns the limits of these handlers and queues.
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

/// Returns the policy of a handler, as changed by the options.
pub(super) fn policy(handler: &Handler, options: &WorkerOptions) -> Policy {
    let changed = options.handlers.get(handler.request_type());
    changed.map_or_else(|| handler.policy().clone(), |changed| changed.apply(handler.policy()))
}
