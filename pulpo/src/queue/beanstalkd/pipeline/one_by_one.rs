//! The way of it where the socket cannot be had: one command after the other.

use super::{NextJob, Stopped};
use crate::queue::beanstalkd::client::Client;
use crate::queue::beanstalkd::fault::{Fault, found};
use crate::queue::beanstalkd::job::{JobStats, NewJob};

impl Client {
    /// Puts jobs that the server does not find too big.
    pub(super) fn put_together(&mut self, jobs: &[NewJob], ids: &mut Vec<u64>) -> Result<(), Stopped> {
        for job in jobs {
            ids.push(self.put_one(job)?);
        }
        Ok(())
    }

    /// What the server knows of a job.
    pub(in crate::queue::beanstalkd) fn stats_job(&mut self, id: u64) -> Result<JobStats, Fault> {
        let entries = self.stats_of_job(id)?;
        // The crate makes an empty map of what it cannot read.
        JobStats::read(|key| entries.get(key).map(String::as_str))
            .ok_or_else(|| Fault::Dropped("the answer to stats-job is garbled".to_owned()))
    }

    /// Deletes jobs: whether each was still there.
    pub(in crate::queue::beanstalkd) fn delete_all(&mut self, ids: &[u64]) -> Result<Vec<bool>, Fault> {
        ids.iter().map(|id| Ok(found(self.delete(*id))?.is_some())).collect()
    }

    /// Deletes jobs that are done, and then reserves the next one.
    pub(in crate::queue::beanstalkd) fn delete_and_reserve(
        &mut self,
        done: &[u64],
        seconds: u64,
    ) -> Result<NextJob, Fault> {
        let deleted = self.delete_all(done)?;
        match self.reserve(seconds) {
            Err(fault) if fault.ends_connection() => Err(fault),
            reserved => Ok(NextJob { deleted, reserved }),
        }
    }
}
