//! The beat of a process, as its other threads see it.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use tokio::sync::mpsc::UnboundedSender;
use tokio_postgres::types::Type;

use crate::clock::lock;
use crate::queue::postgres::connection::{Connection, Heard, Sql};
use crate::queue::postgres::error::PostgresError;
use crate::queue::postgres::schema;

const UNREGISTER: Sql = "WITH said AS (DELETE FROM SCHEMA.worker_report WHERE worker = $1)
    DELETE FROM SCHEMA.worker WHERE id = $1";

/// The thread, from outside.
#[derive(Debug, Default)]
pub(in crate::queue::postgres) struct Beat {
    pub(in crate::queue::postgres) sender: Mutex<Option<UnboundedSender<Heard>>>,
    pub(in crate::queue::postgres) ends: Arc<AtomicBool>,
    /// Whether this process is among the workers.
    pub(in crate::queue::postgres) has_begun: AtomicBool,
    /// The oldest program that the schema is for.
    pub(in crate::queue::postgres) oldest_program: AtomicI64,
}

impl Beat {
    /// Has the thread look.
    pub(in crate::queue::postgres) fn nudge(&self) {
        // If it is over, nothing is to be told any more.
        let _ = lock(&self.sender).as_ref().map(|sender| sender.send(Heard::Nudge));
    }

    pub(in crate::queue::postgres) fn end(&self) {
        self.ends.store(true, Ordering::SeqCst);
        self.nudge();
    }

    pub(in crate::queue::postgres) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::SeqCst)
    }

    /// Refuses to take messages from a schema that a newer program has made
    /// its own.
    pub(in crate::queue::postgres) fn check(&self) -> Result<(), PostgresError> {
        schema::check(self.oldest_program.load(Ordering::Relaxed))
    }
}

/// This process has ended in good order.
pub(in crate::queue::postgres) fn unregister(connection: &mut Connection, id: &str) -> Result<(), PostgresError> {
    connection.run(UNREGISTER, &[(&id, Type::TEXT)]).map(drop)
}
