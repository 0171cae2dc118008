//! Publishes jobs: one, or many in few writes.

use std::collections::VecDeque;

use super::connection::Connection;
use super::fault::Fault;
use super::job::{self, NewJob};
use super::protocol::{Answer, Commands};

/// The maximum number of jobs in one write, and of bytes: the answers must fit into buffers while no thread reads them.
const MOST_JOBS: usize = 256;
const MOST_BYTES: usize = 256 * 1024;

/// The maximum number of writes without an answer: while the server processes one, the next is on its way.
const MOST_WRITES: usize = 2;

/// Why the publication of a batch ended early.
#[derive(Debug)]
pub(super) struct Stopped {
    pub(super) fault: Fault,
    /// Whether the queue may have more of them than those whose ids are known.
    pub(super) in_doubt: bool,
}

impl Stopped {
    /// Creates the error for a fault before any job was sent completely.
    pub(super) fn before(fault: Fault) -> Self {
        Self { fault, in_doubt: false }
    }

    pub(super) fn sending(fault: Fault) -> Self {
        Self { in_doubt: fault.ends_connection() || fault == Fault::Buried, fault }
    }
}

/// The content of one write; `puts` says for each command whether it is a `put`.
struct Write {
    commands: Commands,
    puts: VecDeque<bool>,
}

impl Write {
    fn new(connection: &mut Connection, jobs: &[NewJob]) -> Self {
        let mut new = Self { commands: Commands::new(), puts: VecDeque::with_capacity(jobs.len() + 1) };
        for NewJob { tube, priority, delay, ttr, text } in jobs {
            if connection.using() != Some(tube) {
                new.commands.use_tube(tube);
                new.puts.push_back(false);
                connection.now_uses(tube);
            }
            new.commands.put(text, *priority, *delay, *ttr);
            new.puts.push_back(true);
        }
        new
    }
}

/// Puts jobs one after another, and adds to `ids` the ids of those that the server has: the first ones. `most_bytes` is
/// the server's maximum size of a job, if known.
pub(super) fn put_all(
    connection: &mut Connection,
    jobs: &[NewJob],
    most_bytes: Option<u64>,
    ids: &mut Vec<u64>,
) -> Result<(), Stopped> {
    let mut left = jobs;
    let mut waiting: VecDeque<VecDeque<bool>> = VecDeque::new();
    let mut sent_any = false;
    // Jobs that the server accepts after it has refused one are useless.
    let (mut refused, mut after) = (None, Vec::new());
    while !left.is_empty() || !waiting.is_empty() {
        while !left.is_empty() && refused.is_none() && waiting.len() < MOST_WRITES {
            // A job that is too big goes alone, so that no job follows it in the same write.
            let count = fitting(left, most_bytes).max(1);
            if count == 1 && left.len() > 1 && !waiting.is_empty() {
                break;
            }
            let (now, later) = left.split_at(count);
            let write = Write::new(connection, now);
            connection.send(&write.commands).map_err(|fault| {
                // If it is the only job, its last byte was not sent.
                if jobs.len() == 1 {
                    Stopped::before(fault)
                } else {
                    Stopped { in_doubt: sent_any || now.len() > 1, fault }
                }
            })?;
            sent_any = true;
            waiting.push_back(write.puts);
            left = later;
            if count == 1 && !later.is_empty() {
                break;
            }
        }
        for is_put in waiting.pop_front().into_iter().flatten() {
            let answer = connection.answer_of_many().map_err(Stopped::sending)?;
            if !is_put {
                // The jobs after it may be in any tube.
                answer.expect(&Answer::Using).map_err(|fault| lost_step(connection, fault))?;
                continue;
            }
            match answer.inserted() {
                Ok(id) if refused.is_none() => ids.push(id),
                Ok(id) => after.push(id),
                Err(fault) if fault.ends_connection() => return Err(lost_step(connection, fault)),
                Err(fault) => refused = refused.or(Some(fault)),
            }
        }
        if refused.is_some() && waiting.is_empty() {
            break;
        }
    }
    let Some(fault) = refused else { return Ok(()) };
    // The server had no memory for one job and then accepted a smaller one: only the jobs before the refusal are kept.
    for ids in after.chunks(MOST_JOBS) {
        let mut commands = Commands::new();
        for id in ids {
            commands.delete(*id);
        }
        for answer in connection.ask(&commands).map_err(Stopped::sending)? {
            answer.done(&Answer::Deleted).map_err(|fault| lost_step(connection, fault))?;
        }
    }
    Err(Stopped::sending(fault))
}

/// Gives up the connection, because the answer belonged to another command.
fn lost_step(connection: &mut Connection, fault: Fault) -> Stopped {
    connection.give_up();
    Stopped { fault, in_doubt: true }
}

/// Returns how many of the next jobs go into one write. A job that is too big for the server ends the write, since the
/// server would go on with the jobs after it.
fn fitting(jobs: &[NewJob], most_bytes: Option<u64>) -> usize {
    let mut bytes = 0;
    let fits = |job: &&NewJob| {
        bytes += job.text.len();
        most_bytes.is_none_or(|most| job.text.len() as u64 <= most) && bytes <= MOST_BYTES
    };
    jobs.iter().take(MOST_JOBS).take_while(fits).count()
}

/// Returns the maximum size of a job in bytes, if the server reports it.
pub(super) fn max_job_size(connection: &mut Connection) -> Result<Option<u64>, Fault> {
    let told = connection.ask_one(Commands::stats)?.told()?;
    Ok(told.as_deref().and_then(|text| job::number(text, "max-job-size")))
}
