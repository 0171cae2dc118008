//! `work`: take messages and run their handlers.

use std::error::Error;

use super::{Done, WorkArguments};
use crate::instance::Pulpo;
use crate::registry::Registry;

pub(super) fn run(
    arguments: &WorkArguments,
    open: impl FnOnce(Vec<(String, String)>) -> Result<Pulpo, Box<dyn Error>>,
) -> Done {
    // Before the queue is touched: a worker without handlers is a mistake.
    let registry = Registry::collect()?;
    let mut settings = Vec::new();
    if let Some(lanes) = arguments.concurrency {
        settings.push(("concurrency".to_owned(), lanes.to_string()));
    }
    if let Some(queues) = &arguments.queues {
        settings.push(("queues".to_owned(), queues.clone()));
    }
    open(settings)?.worker_of(registry).run()?;
    Ok(())
}
