//! The connections that the threads of a process share.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::connection::{Connection, Connector};
use super::error::PostgresError;
use crate::clock::{Clock as _, SystemClock};
use crate::sync::lock;

/// The maximum number of connections. Threads share transactions, so more would
/// gain nothing.
const MOST: usize = 4;

/// A connection that was idle for longer is tested before it is used. So a
/// restart of the server is noticed before a statement is sent that might be
/// done twice.
const TRUSTED: Duration = Duration::from_millis(200);

/// A connection that was idle for longer is closed, for the sake of other
/// programs.
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

/// A connection from the pool. It goes back when it is dropped, if it still
/// works.
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

    /// Returns a connection that works, as far as can be known.
    pub(super) fn take(&self) -> Result<Pooled<'_>, PostgresError> {
        let (mut pooled, rested) = self.idle();
        if let Some(connection) = &mut pooled.connection
            && (connection.is_broken() || rested >= TRUSTED && connection.ping().is_err())
        {
            pooled.connection = None;
            // The server has closed the other ones too.
            let others = std::mem::take(&mut lock(&self.connections).idle);
            drop(others);
        }
        if pooled.connection.is_none() {
            pooled.connection = Some(self.connector.connect()?);
        }
        Ok(pooled)
    }

    /// Takes a place in the pool, with an idle connection if there is one.
    /// Returns also how long that was idle.
    fn idle(&self) -> (Pooled<'_>, Duration) {
        let full = |connections: &mut Connections| connections.idle.is_empty() && connections.in_use >= MOST;
        let waited = self.returned.wait_while(lock(&self.connections), full);
        let mut connections = waited.unwrap_or_else(PoisonError::into_inner);
        connections.in_use += 1;
        // The one that was used last. Those that are not needed stay in front.
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
