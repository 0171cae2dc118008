//! What all clones of a queue share, in whatever process.

use std::sync::Arc;

use super::options::PostgresOptions;
use super::shared::Shared;
use crate::clock::Clock;
use crate::process::fork::PerProcess;

#[derive(Debug)]
pub(super) struct Remote {
    pub(super) options: PostgresOptions,
    clock: Arc<dyn Clock>,
    /// A fork has connections of its own.
    shared: PerProcess<Arc<Shared>>,
}

impl Remote {
    pub(super) fn new(options: PostgresOptions, clock: Arc<dyn Clock>) -> Self {
        Self { options, clock, shared: PerProcess::new() }
    }

    /// What this process shares.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        self.shared.get_or_init(|| Arc::new(Shared::new(self.options.clone(), self.clock.clone())))
    }
}
