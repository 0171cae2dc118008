//! Putting jobs: one, or many in few writes.

use std::collections::VecDeque;

use super::connection::Connection;
use super::fault::Fault;
use super::job::{self, NewJob};
use super::protocol::{Answer, Commands};

/// How many jobs one write puts, and how many bytes: the answers have to find
/// room while nobody reads them.
const MOST_JOBS: usize = 256;
const MOST_BYTES: usize = 256 * 1024;

/// How many such writes may be without an answer: while the server does one,
/// the next is on its way.
const MOST_WRITES: usize = 2;

/// Why a publication of many ended early.
#[derive(Debug)]
pub(super) struct Stopped {
    pub(super) fault: Fault,
    /// More of them may be in the queue than those whose ids are known.
    pub(super) in_doubt: bool,
}

impl Stopped {
    /// Nothing of what is meant was sent, or not all of it.
    pub(super) fn before(fault: Fault) -> Self {
        Self { fault, in_doubt: false }
    }

    pub(super) fn sending(fault: Fault) -> Self {
        Self { in_doubt: fault.ends_connection() || fault == Fault::Buried, fault }
    }
}

/// What one write asks: for each command whether it is a `put`.
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

/// Puts jobs one after the other, and adds the ids of the first ones that the
/// server has to `ids`. `most_bytes` is the size of a job that the server takes,
/// if it is known.
pub(super) fn put_all(
    connection: &mut Connection,
    jobs: &[NewJob],
    most_bytes: Option<u64>,
    ids: &mut Vec<u64>,
) -> Result<(), Stopped> {
    let mut left = jobs;
    let mut waiting: VecDeque<VecDeque<bool>> = VecDeque::new();
    let mut sent_any = false;
    // What the server takes after it has refused one: of no use.
    let (mut refused, mut after) = (None, Vec::new());
    while !left.is_empty() || !waiting.is_empty() {
        while !left.is_empty() && refused.is_none() && waiting.len() < MOST_WRITES {
            // One that is too big goes alone, so that nothing comes after it.
            let count = fitting(left, most_bytes).max(1);
            if count == 1 && left.len() > 1 && !waiting.is_empty() {
                break;
            }
            let (now, later) = left.split_at(count);
            let write = Write::new(connection, now);
            connection.send(&write.commands).map_err(|fault| {
                // Of the only one, the last byte was not sent.
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
            let answer = connection.answer().map_err(Stopped::sending)?;
            if !is_put {
                // The jobs after it may be anywhere.
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
    // Out of memory for one, and not for a smaller one after it: the first ones
    // are kept, and no others.
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

/// The answer was to something else.
fn lost_step(connection: &mut Connection, fault: Fault) -> Stopped {
    connection.give_up();
    Stopped { fault, in_doubt: true }
}

/// How many of the next jobs go into one write: none that the server would find
/// too big, since it would go on with those after it.
fn fitting(jobs: &[NewJob], most_bytes: Option<u64>) -> usize {
    let mut bytes = 0;
    let fits = |job: &&NewJob| {
        bytes += job.text.len();
        most_bytes.is_none_or(|most| job.text.len() as u64 <= most) && bytes <= MOST_BYTES
    };
    jobs.iter().take(MOST_JOBS).take_while(fits).count()
}

/// How many bytes a job may have at most, if the server says so.
pub(super) fn max_job_size(connection: &mut Connection) -> Result<Option<u64>, Fault> {
    let told = connection.ask_one(Commands::stats)?.told()?;
    Ok(told.as_deref().and_then(|text| job::number(text, "max-job-size")))
}
