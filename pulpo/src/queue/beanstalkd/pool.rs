//! The connections that publications and commands share.

use std::ops::{Deref, DerefMut};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::client::{Client, Server};
use super::fault::Fault;
use crate::clock::{Clock as _, SystemClock, lock};

/// More would gain nothing: the server has one thread.
const MOST: usize = 8;

/// A connection that rested for longer is asked whether it still works before
/// it is used, so that a restart of the server is noticed while nothing is
/// sent that could be done twice. It costs one round trip where that does not
/// matter.
const TRUSTED: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Pool {
    server: Server,
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
    client: Client,
    since: Duration,
}

/// A connection from the pool, which goes back there if it still works.
#[derive(Debug)]
pub(super) struct Pooled<'pool> {
    pool: &'pool Pool,
    client: Option<Client>,
}

impl Pool {
    pub(super) fn new(server: Server) -> Self {
        Self { server, clock: SystemClock::new(), connections: Mutex::default(), returned: Condvar::new() }
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// A connection that works, as far as one can know.
    pub(super) fn take(&self) -> Result<Pooled<'_>, Fault> {
        let silence = self.server.silence;
        let idle = {
            let full = |connections: &mut Connections| connections.idle.is_empty() && connections.in_use >= MOST;
            let (mut connections, _) = self
                .returned
                .wait_timeout_while(lock(&self.connections), silence, full)
                .unwrap_or_else(PoisonError::into_inner);
            if full(&mut connections) {
                return Err(Fault::Busy(silence));
            }
            connections.in_use += 1;
            // The one that was used last: the others may be closed by a server
            // or firewall that ends idle connections.
            connections.idle.pop()
        };
        // From here on, to drop this gives the place back.
        let mut pooled = Pooled { pool: self, client: None };
        if let Some(Idle { mut client, since }) = idle {
            let rested = self.clock.uptime().saturating_sub(since);
            let works = if rested < TRUSTED { Ok(()) } else { client.ping() };
            match works {
                Ok(()) => {
                    pooled.client = Some(client);
                    return Ok(pooled);
                }
                Err(silent @ Fault::Silent(_)) => return Err(silent),
                // The others have seen the same end.
                Err(_) => lock(&self.connections).idle.clear(),
            }
        }
        pooled.client = Some(Client::open(&self.server)?);
        Ok(pooled)
    }
}

impl Deref for Pooled<'_> {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client.as_ref().expect("it has one until it is dropped")
    }
}

impl DerefMut for Pooled<'_> {
    fn deref_mut(&mut self) -> &mut Client {
        self.client.as_mut().expect("it has one until it is dropped")
    }
}

impl Drop for Pooled<'_> {
    fn drop(&mut self) {
        let mut connections = lock(&self.pool.connections);
        connections.in_use -= 1;
        let (alive, dead) = self.client.take().into_iter().partition::<Vec<_>, _>(Client::is_alive);
        connections.idle.extend(alive.into_iter().map(|client| Idle { client, since: self.pool.clock.uptime() }));
        drop(connections);
        drop(dead);
        self.pool.returned.notify_one();
    }
}
