//! The part of the heartbeat that other threads of the process use.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::sync::mpsc::UnboundedSender;
use tokio_postgres::types::Type;

use crate::queue::postgres::connection::{Connection, Heard, Sql};
use crate::queue::postgres::error::PostgresError;
use crate::queue::postgres::schema;
use crate::sync::lock;

const UNREGISTER: Sql = "WITH said AS (DELETE FROM SCHEMA.worker_report WHERE worker = $1)
    DELETE FROM SCHEMA.worker WHERE id = $1";

/// The heartbeat thread, as other threads see it.
#[derive(Debug, Default)]
pub(in crate::queue::postgres) struct Beat {
    pub(in crate::queue::postgres) sender: Mutex<Option<UnboundedSender<Heard>>>,
    pub(in crate::queue::postgres) ends: Arc<AtomicBool>,
    /// Whether this process is registered as a worker.
    pub(in crate::queue::postgres) has_begun: AtomicBool,
    /// The oldest version of a program that may use the schema.
    pub(in crate::queue::postgres) oldest_program: AtomicI64,
}

impl Beat {
    /// Wakes the thread.
    pub(in crate::queue::postgres) fn nudge(&self) {
        // If it has ended, there is nothing left for it to do.
        let _ = lock(&self.sender).as_ref().map(|sender| sender.send(Heard::Nudge));
    }

    pub(in crate::queue::postgres) fn end(&self) {
        self.ends.store(true, Ordering::SeqCst);
        self.nudge();
    }

    pub(in crate::queue::postgres) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::SeqCst)
    }

    /// Fails if a newer program has changed the schema so that this one must not
    /// use it.
    pub(in crate::queue::postgres) fn check(&self) -> Result<(), PostgresError> {
        schema::check(self.oldest_program.load(Ordering::Relaxed))
    }
}

/// Removes the row of this process, which ends in good order.
pub(in crate::queue::postgres) fn unregister(connection: &mut Connection, id: &str) -> Result<(), PostgresError> {
    connection.run(UNREGISTER, &[(&id, Type::TEXT)]).map(drop)
}
