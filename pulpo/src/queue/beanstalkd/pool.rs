//! Connections that the threads of a process share: one pool for publications and another for inspection, so that
//! neither waits for the other.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::connection::{Connection, Server};
use super::fault::Fault;
use crate::clock::{Clock as _, SystemClock};
use crate::sync::lock;

/// A connection that has been idle for longer is checked before it is used, so that a restart of the server is noticed
/// before anything is sent that must not be sent twice. The check costs one round trip, at a time when that does not
/// matter.
const TRUSTED: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Pool {
    server: Server,
    /// The maximum number of connections. More would gain nothing: the server has one thread.
    most: usize,
    clock: SystemClock,
    connections: Mutex<Connections>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct Connections {
    idle: Vec<Idle>,
    in_use: usize,
    /// The number of threads that wait for one.
    waiting: usize,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Duration,
}

/// A connection from the pool; it returns there if it still works.
#[derive(Debug)]
pub(super) struct Pooled<'pool> {
    pool: &'pool Pool,
    connection: Option<Connection>,
}

impl Pool {
    pub(super) fn new(server: Server, most: usize) -> Self {
        Self { server, most, clock: SystemClock::new(), connections: Mutex::default(), returned: Condvar::new() }
    }

    /// Takes a connection that works, as far as that can be known. A new one uses the tube right away, so that this
    /// takes no extra command.
    pub(super) fn take(&self, tube: Option<&str>) -> Result<Pooled<'_>, Fault> {
        let patience = self.server.response_timeout;
        let idle = {
            let full = |connections: &mut Connections| connections.idle.is_empty() && connections.in_use >= self.most;
            let mut connections = lock(&self.connections);
            if full(&mut connections) {
                connections.waiting += 1;
                let waited = self.returned.wait_timeout_while(connections, patience, full);
                connections = waited.unwrap_or_else(PoisonError::into_inner).0;
                connections.waiting -= 1;
            }
            if full(&mut connections) {
                return Err(Fault::Busy(patience));
            }
            connections.in_use += 1;
            // The most recently used one: a server or firewall that ends idle connections may have closed the others.
            connections.idle.pop()
        };
        // From here on, dropping this frees the place.
        let mut pooled = Pooled { pool: self, connection: None };
        if let Some(Idle { mut connection, since }) = idle {
            let rested = self.clock.uptime().saturating_sub(since);
            let works = if rested < TRUSTED { Ok(()) } else { connection.ping() };
            match works {
                Ok(()) => {
                    pooled.connection = Some(connection);
                    return Ok(pooled);
                }
                Err(silent @ Fault::Silent(_)) => return Err(silent),
                // The others have lost their server too.
                Err(_) => lock(&self.connections).idle.clear(),
            }
        }
        pooled.connection = Some(Connection::open(&self.server, tube)?);
        Ok(pooled)
    }
}

impl Deref for Pooled<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("it has one until it is dropped")
    }
}

impl DerefMut for Pooled<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("it has one until it is dropped")
    }
}

impl Drop for Pooled<'_> {
    fn drop(&mut self) {
        let mut connections = lock(&self.pool.connections);
        connections.in_use -= 1;
        let (alive, dead) = self.connection.take().into_iter().partition::<Vec<_>, _>(Connection::is_in_step);
        connections
            .idle
            .extend(alive.into_iter().map(|connection| Idle { connection, since: self.pool.clock.uptime() }));
        // A system call even if no thread waits.
        let is_wanted = connections.waiting > 0;
        drop(connections);
        drop(dead);
        if is_wanted {
            self.pool.returned.notify_one();
        }
    }
}
