//! The state of one server that all threads of a process share.

use std::sync::{Arc, OnceLock};

use super::connection::{Connection, Server};
use super::fault::Fault;
use super::job::{self, NewJob};
use super::lease_connection::LeaseConnection;
use super::options::BeanstalkdOptions;
use super::pool::Pool;
use super::protocol::Commands;
use super::publish::Stopped;
use crate::clock::Clock;
use crate::message::MessageId;
use crate::queue::QueueError;

/// The maximum number of connections for publications, and for inspection.
const PUBLISHING: usize = 8;
const INSPECTING: usize = 4;

#[derive(Debug)]
pub(super) struct Shared {
    /// The server's name, for errors.
    pub(super) place: String,
    pub(super) publishing: Pool,
    pub(super) inspecting: Pool,
    /// The connection that takes and settles jobs.
    pub(super) leases: LeaseConnection,
    pub(super) max_scanned_ids: u64,
    /// The maximum size of a job in bytes, as the server has reported it.
    pub(super) max_job_size: OnceLock<Option<u64>>,
    /// The clock that measures delays.
    pub(super) clock: Arc<dyn Clock>,
}

impl Shared {
    /// Creates the state; connects later.
    pub(super) fn new(options: &BeanstalkdOptions, clock: Arc<dyn Clock>) -> Self {
        let BeanstalkdOptions { host, port, socket_timeout, reserve_timeout, max_scanned_ids } = options.clone();
        let place = format!("beanstalkd at {host}:{port}");
        let server = Server { host, port, response_timeout: socket_timeout };
        Self {
            place,
            publishing: Pool::new(server.clone(), PUBLISHING),
            inspecting: Pool::new(server.clone(), INSPECTING),
            leases: LeaseConnection::new(server, reserve_timeout),
            max_scanned_ids,
            max_job_size: OnceLock::new(),
            clock,
        }
    }

    /// Inspects or changes the jobs of the server, on a connection from the pool for that.
    pub(super) fn inspect<R>(
        &self,
        doing: &str,
        talk: impl FnOnce(&mut Connection) -> Result<R, Fault>,
    ) -> Result<R, QueueError> {
        let answer = self.inspecting.take(None).and_then(|mut connection| talk(&mut connection));
        answer.map_err(|fault| self.error(doing, fault))
    }

    /// Returns whether one of these tubes has a ready job.
    pub(super) fn has_ready(&self, tubes: &[String]) -> Result<bool, Fault> {
        let stats = super::queries::all_tube_stats(&mut *self.inspecting.take(None)?, tubes.to_vec())?;
        Ok(stats.iter().any(|(_, tube)| tube.ready() > 0 && tube.pause_left.is_zero()))
    }

    /// Asks the server for the id that it has chosen at random when it started. Before version 1.7 it has none.
    pub(super) fn identity(&self) -> Result<Option<String>, QueueError> {
        self.inspect("ask for the identity of", |connection| {
            let told = connection.ask_one(Commands::stats)?.told()?;
            Ok(told.as_deref().and_then(|text| job::text(text, "id")))
        })
    }

    /// Converts a fault into the queue's error.
    pub(super) fn error(&self, doing: &str, fault: Fault) -> QueueError {
        let place = self.place.clone();
        match fault {
            Fault::Draining => QueueError::Draining { place },
            Fault::OutOfMemory => QueueError::OutOfMemory { place },
            Fault::Foreign(answer) => QueueError::NotAQueue { place, found: format!("it answered {answer:?}") },
            fault => QueueError::Unavailable { doing: format!("{doing} {place}"), source: Box::new(fault) },
        }
    }

    pub(super) fn max_job_size(&self, connection: &mut Connection) -> Result<Option<u64>, Fault> {
        if let Some(known) = self.max_job_size.get() {
            return Ok(*known);
        }
        let told = super::publish::max_job_size(connection)?;
        Ok(*self.max_job_size.get_or_init(|| told))
    }

    pub(super) fn enqueue_all(&self, jobs: &[NewJob]) -> Result<Vec<MessageId>, QueueError> {
        let tube = jobs.first().map(|job| job.tube.as_str());
        let mut connection = self.publishing.take(tube).map_err(|fault| self.error("publish to", fault))?;
        let most_bytes = if jobs.len() > 1 { self.max_job_size(&mut connection) } else { Ok(None) };
        let most_bytes = most_bytes.map_err(|fault| self.error("publish to", fault))?;
        let mut ids = Vec::with_capacity(jobs.len());
        let put = super::publish::put_all(&mut connection, jobs, most_bytes, &mut ids);
        let ids: Vec<MessageId> = ids.into_iter().map(MessageId::from).collect();
        let Err(Stopped { fault, in_doubt }) = put else {
            self.leases.check_now();
            return Ok(ids);
        };
        let error = match fault {
            Fault::TooBig => {
                let limit = super::publish::max_job_size(&mut connection).ok().flatten();
                let size = jobs.get(ids.len()).map_or(0, |job| job.text.len());
                QueueError::TooBig { place: self.place.clone(), size, limit }
            }
            fault if in_doubt => {
                QueueError::UnknownOutcome { doing: format!("publish to {}", self.place), source: Box::new(fault) }
            }
            fault => self.error("publish to", fault),
        };
        Err(if ids.is_empty() {
            error
        } else {
            QueueError::PartOfBatch { ids, of: jobs.len(), source: Box::new(error) }
        })
    }
}
