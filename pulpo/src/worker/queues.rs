//! Decides which queues a worker serves, and where the jobs of its handlers go.

use std::collections::BTreeSet;

use super::options::WorkerOptions;
use crate::queue::{self, Route};
use crate::registry::{Handler, Registry};
#[cfg(feature = "http")]
use crate::telemetry;

/// Returns the queues of the options, each once, or else those of the handlers, including the default queue if any handler names
/// none.
pub(super) fn queues(registry: &Registry, options: &WorkerOptions) -> Vec<String> {
    let chosen = if options.queues.is_empty() {
        queues_of_handlers(registry, options).into_iter().collect()
    } else {
        queue::distinct(&options.queues)
    };
    let enabled = |queue: &String| options.queue_options.get(queue).and_then(|said| said.enabled) != Some(false);
    chosen.into_iter().filter(enabled).collect()
}

/// Returns the queues of this worker, each alone and with the request types of its handlers.
#[cfg(feature = "http")]
pub(super) fn expected(registry: &Registry, options: &WorkerOptions, queues: &[String]) -> Vec<telemetry::Kind> {
    let typed = registry.iter().map(|handler| {
        let queue = handler.policy().queue.unwrap_or(&options.default_queue);
        (queue.to_owned(), handler.request_type().to_owned())
    });
    let own = typed.filter(|(queue, _)| queues.contains(queue));
    own.chain(queues.iter().map(|queue| (queue.clone(), String::new()))).collect()
}

/// Returns all queues that the options may mention.
pub(super) fn known_queues(registry: &Registry, options: &WorkerOptions) -> BTreeSet<String> {
    queues_of_handlers(registry, options).into_iter().chain(options.queues.iter().cloned()).collect()
}

fn queues_of_handlers(registry: &Registry, options: &WorkerOptions) -> BTreeSet<String> {
    let of_handlers = registry.iter().map(|handler| handler.policy().queue.unwrap_or(&options.default_queue));
    // Messages of other producers, of any type, arrive in the default queue.
    of_handlers.chain([options.default_queue.as_str()]).map(str::to_owned).collect()
}

/// Returns where the jobs of these handlers go, under their aliases too.
pub(super) fn routes(registry: &Registry, options: &WorkerOptions) -> Vec<Route> {
    let of_handler = |handler: &'static Handler| {
        let policy = handler.policy();
        let names = std::iter::once(handler.request_type()).chain(handler.aliases().iter().copied());
        names.map(move |request_type| Route {
            request_type: request_type.to_owned(),
            queue: policy.queue.unwrap_or(&options.default_queue).to_owned(),
            priority: policy.priority,
            ttr: policy.ttr,
        })
    };
    registry.iter().flat_map(of_handler).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_is_named_twice_is_served_once() {
        let queues_twice = ["mail", "pulpo", "mail", "pulpo", "bulk"].map(str::to_owned).to_vec();
        let options = WorkerOptions { queues: queues_twice, ..WorkerOptions::default() };
        assert_eq!(queues(&Registry::default(), &options), ["mail", "pulpo", "bulk"]);
    }
}
