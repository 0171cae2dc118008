//! The connections that the threads of a process share.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::connection::{Connection, Connector};
use super::error::PostgresError;
use crate::clock::{Clock as _, SystemClock, lock};

/// Threads share transactions, so that more would gain nothing.
const MOST: usize = 4;

/// A connection that rested for longer is asked whether it still works before
/// it is used, so that a restart of the server is noticed while nothing is
/// sent that could be done twice.
const TRUSTED: Duration = Duration::from_millis(200);

/// One that rested for longer is closed: others may need it more.
const UNUSED: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Pool {
    connector: Connector,
    clock: SystemClock,
    connections: Mutex<Connections>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct Connections {
    idle: Vec<Idle>,
    in_use: usize,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Duration,
}

/// A connection from the pool, which goes back there if it still works.
#[derive(Debug)]
pub(super) struct Pooled<'pool> {
    pool: &'pool Pool,
    connection: Option<Connection>,
}

impl Pool {
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector, clock: SystemClock::new(), connections: Mutex::default(), returned: Condvar::new() }
    }

    pub(super) fn connector(&self) -> &Connector {
        &self.connector
    }

    /// A connection that works, as far as one can know.
    pub(super) fn take(&self) -> Result<Pooled<'_>, PostgresError> {
        let (mut pooled, rested) = self.idle();
        if let Some(connection) = &mut pooled.connection
            && (connection.is_broken() || rested >= TRUSTED && connection.ping().is_err())
        {
            pooled.connection = None;
            // The others have seen the same end.
            let others = std::mem::take(&mut lock(&self.connections).idle);
            drop(others);
        }
        if pooled.connection.is_none() {
            pooled.connection = Some(self.connector.connect()?);
        }
        Ok(pooled)
    }

    /// The place of a connection, and one that rests if there is one, and for
    /// how long it did.
    fn idle(&self) -> (Pooled<'_>, Duration) {
        let full = |connections: &mut Connections| connections.idle.is_empty() && connections.in_use >= MOST;
        let waited = self.returned.wait_while(lock(&self.connections), full);
        let mut connections = waited.unwrap_or_else(PoisonError::into_inner);
        connections.in_use += 1;
        // The one that rested least; those that nobody needs are the first.
        let idle = connections.idle.pop();
        let now = self.clock.uptime();
        let unused = |idle: &Idle| now.saturating_sub(idle.since) >= UNUSED;
        let old: Vec<_> = match connections.idle.iter().position(|idle| !unused(idle)) {
            Some(0) => Vec::new(),
            Some(count) => connections.idle.drain(..count).collect(),
            None => std::mem::take(&mut connections.idle),
        };
        drop(connections);
        drop(old);
        let rested = idle.as_ref().map_or(Duration::ZERO, |idle| now.saturating_sub(idle.since));
        (Pooled { pool: self, connection: idle.map(|idle| idle.connection) }, rested)
    }
}

impl Deref for Pooled<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("it is handed out with one")
    }
}

impl DerefMut for Pooled<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("it is handed out with one")
    }
}

impl Drop for Pooled<'_> {
    fn drop(&mut self) {
        let connection = self.connection.take();
        let mut connections = lock(&self.pool.connections);
        connections.in_use -= 1;
        let broken = match connection {
            Some(connection) if !connection.is_broken() => {
                let since = self.pool.clock.uptime();
                connections.idle.push(Idle { connection, since });
                None
            }
            broken => broken,
        };
        drop(connections);
        self.pool.returned.notify_one();
        drop(broken);
    }
}
