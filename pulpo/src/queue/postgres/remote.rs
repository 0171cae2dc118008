//! The part that all clones of a queue share, also in forked processes.

use std::sync::Arc;
use std::time::Duration;

use super::options::PostgresOptions;
use super::shared::Shared;
use crate::clock::Clock;
use crate::process::fork::PerProcess;

/// How long closing a queue waits for its threads.
const END_PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Remote {
    pub(super) options: PostgresOptions,
    clock: Arc<dyn Clock>,
    /// A forked process has connections of its own.
    shared: PerProcess<Arc<Shared>>,
}

impl Remote {
    pub(super) fn new(options: PostgresOptions, clock: Arc<dyn Clock>) -> Self {
        Self { options, clock, shared: PerProcess::new() }
    }

    /// Returns the part of this process.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        self.shared.get_or_init(|| Arc::new(Shared::new(self.options.clone(), self.clock.clone())))
    }
}

impl Drop for Remote {
    /// Waits for the threads of this process to end. The last holder of the shared
    /// part removes the row of the process, and a thread might not live to do that.
    fn drop(&mut self) {
        let Some(shared) = self.shared.of_this_process() else { return };
        shared.end_threads();
        let since = shared.real.uptime();
        while shared.has_threads() && shared.real.uptime().saturating_sub(since) < END_PATIENCE {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}
