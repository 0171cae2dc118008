//! `work`: take messages and run their handlers.

use std::error::Error;

use super::check::setup_failed;
use super::{Done, WorkArguments};
use crate::app::{App, SetupFailure};
use crate::instance::Pulpo;
use crate::registry::Registry;

pub(super) fn run(
    arguments: &WorkArguments,
    setup: fn(&mut App) -> Result<(), SetupFailure>,
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
    let pulpo = open(settings)?;
    let mut app = App::default();
    setup(&mut app).map_err(|error| setup_failed(&*error))?;
    pulpo.worker_of(registry).app(app).run()?;
    Ok(())
}
