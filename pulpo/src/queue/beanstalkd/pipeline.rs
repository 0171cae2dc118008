//! Several commands in one write, which the client crate cannot do: a round
//! trip for all of them together.

use super::client::Client;
use super::fault::Fault;
use super::job::NewJob;

#[cfg(unix)]
mod at_once;
#[cfg(not(unix))]
mod one_by_one;

#[cfg(unix)]
pub(super) use at_once::Answers;

/// How many jobs one write puts or deletes, and how many bytes it puts: the
/// answers have to find room while nobody reads them.
pub(super) const MOST_JOBS: usize = 256;
const MOST_BYTES: usize = 256 * 1024;

/// Why a publication of many ended early.
#[derive(Debug)]
pub(super) struct Stopped {
    pub(super) fault: Fault,
    /// More of them may be in the queue than those whose ids are known.
    pub(super) in_doubt: bool,
}

impl Stopped {
    fn before(fault: Fault) -> Self {
        Self { fault, in_doubt: false }
    }

    fn sending(fault: Fault) -> Self {
        Self { in_doubt: fault.ends_connection() || fault == Fault::Buried, fault }
    }
}

impl Client {
    /// Puts jobs one after the other, and adds the ids of the first ones that
    /// the server has to `ids`.
    pub(super) fn put_all(&mut self, jobs: &[NewJob], ids: &mut Vec<u64>) -> Result<(), Stopped> {
        let mut left = jobs;
        while !left.is_empty() {
            let count = if left.len() == 1 { 1 } else { self.fitting(left).map_err(Stopped::before)? };
            let (now, later) = left.split_at(count.max(1));
            match now {
                [job] => ids.push(self.put_one(job)?),
                jobs => self.put_together(jobs, ids)?,
            }
            left = later;
        }
        Ok(())
    }

    /// How many of the next jobs go into one write: none that the server would
    /// find too big, since it would go on with those after it.
    fn fitting(&mut self, jobs: &[NewJob]) -> Result<usize, Fault> {
        let biggest = self.max_job_size()?.unwrap_or(0);
        let mut bytes = 0;
        let fits = |job: &&NewJob| {
            bytes += job.text.len();
            job.text.len() as u64 <= biggest && bytes <= MOST_BYTES
        };
        Ok(jobs.iter().take(MOST_JOBS).take_while(fits).count())
    }

    fn put_one(&mut self, job: &NewJob) -> Result<u64, Stopped> {
        self.use_tube(&job.tube).map_err(Stopped::before)?;
        self.put(&job.text, job.priority, job.delay, job.ttr).map_err(Stopped::sending)
    }
}

/// What [`Client::delete_and_reserve`] brought.
#[derive(Debug)]
pub(super) struct NextJob {
    /// For each, whether it was there.
    pub(super) deleted: Vec<bool>,
    /// Faults that do not end the connection.
    pub(super) reserved: Result<(u64, Vec<u8>), Fault>,
}
