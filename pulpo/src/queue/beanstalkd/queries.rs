//! Queries about jobs and tubes, many of them in one write.

use super::connection::Connection;
use super::fault::Fault;
use super::job::{self, JobStats, TubeStats};
use super::limits;
use super::protocol::{Answer, Commands};
use crate::queue::Filter;

/// The number of commands in one write. The commands of two pages are small enough to be sent while no thread reads the
/// answers.
const PAGE: usize = 512;

/// Sends one command for each of these, many in one write, and passes each answer to `read` with its item. The next
/// page is on its way while the answers of one are read, so that the server never waits for us.
pub(super) fn ask_each<T>(
    connection: &mut Connection,
    all: &[T],
    ask: impl Fn(&mut Commands, &T),
    mut read: impl FnMut(&T, Answer) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let send = |connection: &mut Connection, page: &[T]| {
        let mut commands = Commands::new();
        page.iter().for_each(|one| ask(&mut commands, one));
        connection.send(&commands)
    };
    let mut pages = all.chunks(PAGE).peekable();
    if let Some(first) = pages.peek() {
        send(connection, first)?;
    }
    while let Some(page) = pages.next() {
        if let Some(next) = pages.peek() {
            send(connection, next)?;
        }
        for one in page {
            let answer = connection.answer_of_many()?;
            read(one, answer).inspect_err(|_| connection.give_up())?;
        }
    }
    Ok(())
}

fn garbled(command: &str) -> Fault {
    Fault::Dropped(format!("the answer to {command} is garbled"))
}

/// Parses the server's data about the job with this id.
pub(super) fn read_job(id: u64, answer: Answer) -> Result<Option<JobStats>, Fault> {
    let read = |text: String| JobStats::read(&text, id).ok_or_else(|| garbled("stats-job"));
    answer.told()?.map(read).transpose()
}

fn read_tube(answer: Answer) -> Result<Option<TubeStats>, Fault> {
    let read = |text: String| TubeStats::read(&text).ok_or_else(|| garbled("stats-tube"));
    answer.told()?.map(read).transpose()
}

pub(super) fn job_stats(connection: &mut Connection, id: u64) -> Result<Option<JobStats>, Fault> {
    read_job(id, connection.ask_one(|commands| commands.stats_job(id))?)
}

pub(super) fn tube_stats(connection: &mut Connection, tube: &str) -> Result<Option<TubeStats>, Fault> {
    read_tube(connection.ask_one(|commands| commands.stats_tube(tube))?)
}

/// Returns the statistics of these tubes; tubes that do not exist are left out.
pub(super) fn all_tube_stats(
    connection: &mut Connection,
    tubes: Vec<String>,
) -> Result<Vec<(String, TubeStats)>, Fault> {
    let mut all = Vec::with_capacity(tubes.len());
    let stats = |commands: &mut Commands, tube: &String| _ = commands.stats_tube(tube);
    ask_each(connection, &tubes, stats, |tube, answer| {
        all.extend(read_tube(answer)?.map(|stats| (tube.clone(), stats)));
        Ok(())
    })?;
    Ok(all)
}

/// Returns the tubes that are queues, or only the one that the filter names.
pub(super) fn tubes(connection: &mut Connection, filter: &Filter) -> Result<Vec<String>, Fault> {
    if let Some(queue) = &filter.queue {
        return Ok(vec![queue.clone()]);
    }
    let told = connection.ask_one(Commands::list_tubes)?.told()?.ok_or_else(|| garbled("list-tubes"))?;
    Ok(job::names(&told).into_iter().filter(|tube| !limits::is_own(tube)).collect())
}

/// Returns the texts of these jobs, in any state; jobs that are gone are left out.
pub(super) fn texts(connection: &mut Connection, ids: &[u64], mut each: impl FnMut(u64, Vec<u8>)) -> Result<(), Fault> {
    let peek = |commands: &mut Commands, id: &u64| _ = commands.peek(*id);
    ask_each(connection, ids, peek, |id, answer| {
        match answer.peeked()? {
            Some((its, text)) if its == *id => each(*id, text),
            Some((other, _)) => return Err(Fault::Dropped(format!("it answered with job {other} in place of {id}"))),
            None => {}
        }
        Ok(())
    })
}
