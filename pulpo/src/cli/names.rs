//! Unknown names of request types and queues.
//!
//! A name that this program does not know may be right, since other programs publish and work too. So an unknown name
//! causes a warning with the nearest known one, and no error.

use std::collections::BTreeSet;

use super::show;
use crate::instance::Pulpo;
use crate::queue::{Filter, QueueAdapter, Stats};
use crate::registry::{Registry, nearest};
use crate::worker::WorkerOptions;

/// The maximum number of known names in a warning; more would not help.
const MOST_TOLD: usize = 12;

/// Warns about unknown names in a filter. Call it when the filter has matched nothing.
pub(super) fn warn(pulpo: &Pulpo, filter: &Filter) {
    if filter.request_type.is_none() && filter.queue.is_none() {
        return;
    }
    let known = Known::new(&Registry::gather(), pulpo.options(), &**pulpo.queue());
    let problems = [
        filter.request_type.as_deref().and_then(|name| known.type_problem(name)),
        filter.queue.as_deref().and_then(|name| known.queue_problem(name)),
    ];
    problems.into_iter().flatten().for_each(|problem| show::warn(&problem));
}

/// Returns the warning about a queue without handlers and messages.
pub(super) fn queue_problem(pulpo: &Pulpo, queue: &str) -> Option<String> {
    Known::new(&Registry::gather(), pulpo.options(), &**pulpo.queue()).queue_problem(queue)
}

/// Warns about queues that a worker is to serve and that no handler and no message uses.
pub(super) fn warn_of_queues_to_work(registry: &Registry, pulpo: &Pulpo) {
    let options = pulpo.options();
    let ours = |queue: &str| {
        queue == options.default_queue || registry.iter().any(|handler| handler.policy().queue == Some(queue))
    };
    let mut others = options.queues.iter().filter(|queue| !ours(queue)).peekable();
    // Ask the server only about names that this program does not know.
    if others.peek().is_some() {
        let known = Known::new(registry, options, &**pulpo.queue());
        others.filter_map(|queue| known.queue_problem(queue)).for_each(|problem| tracing::warn!("{problem}"));
    }
}

/// Names that are in use.
pub(super) struct Known {
    types: BTreeSet<String>,
    queues: BTreeSet<String>,
    /// Whether the queue distinguishes the types of its messages.
    tells_types: bool,
    /// Whether the queue could be asked.
    asked: bool,
}

impl Known {
    /// Collects the names of the handlers, and of the messages in the queue.
    pub(super) fn new(registry: &Registry, options: &WorkerOptions, queue: &dyn QueueAdapter) -> Self {
        let mut types = BTreeSet::new();
        let mut queues = BTreeSet::from([options.default_queue.clone()]);
        for handler in registry.iter() {
            types.extend([handler.request_type()].iter().chain(handler.aliases()).map(|&name| name.to_owned()));
            queues.extend(handler.policy().queue.map(str::to_owned));
        }
        // If the queue cannot be asked now, the command itself will fail with that error.
        let stats = queue.stats();
        let asked = stats.is_ok();
        let Stats { counts, paused, totals, .. } = stats.unwrap_or_default();
        types.extend(counts.iter().map(|counts| counts.request_type.clone()).filter(|name| !name.is_empty()));
        queues.extend(counts.into_iter().map(|counts| counts.queue));
        queues.extend(paused.into_iter().map(|paused| paused.queue));
        queues.extend(totals.into_iter().filter_map(|totals| totals.queue));
        Self { types, queues, tells_types: queue.capabilities().stats_by_type, asked }
    }

    fn type_problem(&self, name: &str) -> Option<String> {
        let and_no_message = if self.tells_types && self.asked { ", and no message in the queue" } else { "" };
        (!self.types.contains(name) && !name.is_empty()).then(|| {
            format!(
                "no handler of this program{and_no_message} has the request type {name:?}; {}",
                advice(name, &self.types)
            )
        })
    }

    /// Returns the warning about an unknown queue.
    pub(super) fn queue_problem(&self, name: &str) -> Option<String> {
        let and_no_message = if self.asked { ", and there are no messages in it" } else { "" };
        (!self.queues.contains(name)).then(|| {
            format!(
                "no handler of this program is for the queue {name:?}{and_no_message}; {}",
                advice(name, &self.queues)
            )
        })
    }
}

fn advice(name: &str, known: &BTreeSet<String>) -> String {
    if let Some(near) = nearest(name, known.iter().map(String::as_str)) {
        return format!("did you mean {near:?}?");
    }
    let mut names: Vec<_> = known.iter().take(MOST_TOLD).map(|name| format!("{name:?}")).collect();
    if known.len() > MOST_TOLD {
        names.push(format!("{} more", known.len() - MOST_TOLD));
    }
    if names.is_empty() { "none is known".to_owned() } else { format!("known: {}", names.join(", ")) }
}
