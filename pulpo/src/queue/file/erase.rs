//! Ensures that pruned messages leave no traces in the files.

use std::time::Duration;

use super::shared::{Leftover, Shared};
use super::storage::reopening::ReopeningConnection;
use super::storage::rewrite::{SMALL, all, cut_log, has_at_most};
use crate::clock::Clock as _;
use crate::queue::QueueError;
use crate::sync::lock;

/// The minimum time between two rewrites of a larger database.
const REWRITE_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Erases what a worker has pruned: immediately if that is quick, otherwise now and then.
pub(super) fn after_pruning(shared: &Shared) -> Result<(), QueueError> {
    let Some(file) = &shared.file else { return Ok(()) };
    let uptime = shared.real.uptime();
    let mut leftover = lock(&shared.pruned);
    if leftover.in_log {
        leftover.in_pages = true;
    }
    let is_due = leftover.rewritten.is_none_or(|at| uptime.saturating_sub(at) >= REWRITE_EVERY);
    let is_small = || Ok::<_, QueueError>(has_at_most(SMALL, ReopeningConnection::copier(file)?.connection()));
    if leftover.in_pages && (is_due || is_small()?) {
        all(file)?;
        *leftover = Leftover { rewritten: Some(uptime), ..Leftover::default() };
    } else if leftover.in_log {
        cut_log(ReopeningConnection::copier(file)?.connection(), &file.display().to_string())?;
        leftover.in_log = false;
    }
    Ok(())
}
