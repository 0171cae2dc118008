//! The way of it where the socket can be had.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::time::Duration;

use super::{MOST_JOBS, NextJob, Stopped};
use crate::queue::beanstalkd::client::Client;
use crate::queue::beanstalkd::fault::{Fault, found};
use crate::queue::beanstalkd::job::{JobStats, NewJob};
use crate::queue::beanstalkd::socket::Socket;
use crate::queue::beanstalkd::watchdog::Call;

/// How much is written at a time: the server may be silent anew after each.
const PIECE: usize = 64 * 1024;

impl Client {
    pub(super) fn put_together(&mut self, jobs: &[NewJob], ids: &mut Vec<u64>) -> Result<(), Stopped> {
        let mut commands = Vec::with_capacity(jobs.iter().map(|job| job.text.len() + 64).sum());
        for tube in jobs.chunk_by(|one, next| one.tube == next.tube) {
            self.use_tube(&tube[0].tube).map_err(Stopped::before)?;
            commands.clear();
            for NewJob { priority, delay, ttr, text, .. } in tube {
                write!(commands, "put {priority} {delay} {ttr} {}\r\n{text}\r\n", text.len()).expect("memory to write");
            }
            let mut answers = Vec::with_capacity(tube.len());
            let all = self.converse(Duration::ZERO, &commands, |server| {
                for _ in tube {
                    answers.push(server.inserted()?);
                }
                Ok(())
            });
            let first = answers.iter().position(Result::is_err).unwrap_or(answers.len());
            let refused = answers.drain(first..).collect::<Vec<_>>();
            ids.extend(answers.into_iter().flatten());
            all.map_err(Stopped::sending)?;
            if let Some(Err(fault)) = refused.first() {
                // Out of memory for one, and not for a smaller one after it:
                // the first ones are kept, and no others.
                for id in refused.iter().flatten() {
                    found(self.delete(*id)).map_err(Stopped::sending)?;
                }
                return Err(Stopped::sending(fault.clone()));
            }
        }
        Ok(())
    }

    /// What the server knows of a job: by hand, since this is asked for each job
    /// and the crate takes longer to read the answer than the server to give it.
    pub(in crate::queue::beanstalkd) fn stats_job(&mut self, id: u64) -> Result<JobStats, Fault> {
        let command = format!("stats-job {id}\r\n");
        self.converse(Duration::ZERO, command.as_bytes(), |server| server.job_stats())?
    }

    /// Deletes jobs: whether each was still there.
    pub(in crate::queue::beanstalkd) fn delete_all(&mut self, ids: &[u64]) -> Result<Vec<bool>, Fault> {
        let mut deleted = Vec::with_capacity(ids.len());
        for ids in ids.chunks(MOST_JOBS) {
            self.converse(Duration::ZERO, &deletes(ids), |server| {
                for _ in ids {
                    deleted.push(server.deleted()?);
                }
                Ok(())
            })?;
        }
        Ok(deleted)
    }

    /// Deletes some jobs, [`MOST_JOBS`] at most, and then reserves the next one,
    /// waiting for it for so many seconds: whether each of the first was still
    /// there, and what `reserve` says.
    pub(in crate::queue::beanstalkd) fn delete_and_reserve(
        &mut self,
        done: &[u64],
        seconds: u64,
    ) -> Result<NextJob, Fault> {
        let mut commands = deletes(done);
        write!(commands, "reserve-with-timeout {seconds}\r\n").expect("memory to write");
        self.converse(Duration::from_secs(seconds), &commands, |server| {
            let deleted = done.iter().map(|_| server.deleted()).collect::<Result<_, Fault>>()?;
            Ok(NextJob { deleted, reserved: server.reserved()? })
        })
    }
}

fn deletes(ids: &[u64]) -> Vec<u8> {
    let mut commands = Vec::new();
    ids.iter().for_each(|id| write!(commands, "delete {id}\r\n").expect("memory to write"));
    commands
}

/// Reads the answers to what was written, each within the time that the server
/// may be silent.
pub(in crate::queue::beanstalkd) struct Answers<'client> {
    inbox: &'client mut BufReader<Socket>,
    call: &'client Call,
    limit: Duration,
    line: String,
}

impl<'client> Answers<'client> {
    pub(in crate::queue::beanstalkd) fn new(
        inbox: &'client mut BufReader<Socket>,
        call: &'client Call,
        limit: Duration,
    ) -> Self {
        Self { inbox, call, limit, line: String::new() }
    }

    pub(in crate::queue::beanstalkd) fn write(&mut self, commands: &[u8]) -> Result<(), Fault> {
        commands.chunks(PIECE).try_for_each(|piece| {
            self.call.begin(self.limit);
            self.inbox.get_mut().write_all(piece).map_err(dropped)
        })
    }

    /// The next line, without its end. One that breaks off is none.
    fn line(&mut self) -> Result<&str, Fault> {
        self.call.begin(self.limit);
        self.line.clear();
        self.inbox.read_line(&mut self.line).map_err(dropped)?;
        match self.line.strip_suffix("\r\n") {
            Some(line) => Ok(line),
            None if self.line.is_empty() => Err(Fault::Dropped("the server closed it".to_owned())),
            None => Err(Fault::Dropped(format!("the answer broke off: {:?}", self.line))),
        }
    }

    /// The answer to a `put`: the id. A fault that ends the connection is one of
    /// all answers.
    fn inserted(&mut self) -> Result<Result<u64, Fault>, Fault> {
        let line = self.line()?;
        match line.strip_prefix("INSERTED ").map(str::parse) {
            Some(Ok(id)) => Ok(Ok(id)),
            _ => refused(line),
        }
    }

    /// The answer to a `delete`: whether the job was there.
    fn deleted(&mut self) -> Result<bool, Fault> {
        let line = self.line()?;
        if line == "DELETED" {
            return Ok(true);
        }
        match Fault::named(line) {
            Fault::NotFound => Ok(false),
            fault => Err(fault),
        }
    }

    /// The answer to a `reserve`: the id and the text.
    fn reserved(&mut self) -> Result<Result<(u64, Vec<u8>), Fault>, Fault> {
        let line = self.line()?;
        let numbers = line.strip_prefix("RESERVED ").and_then(|rest| rest.split_once(' '));
        let Some((Ok(id), Ok(size))) = numbers.map(|(id, size)| (id.parse(), size.parse::<usize>())) else {
            return refused(line);
        };
        Ok(Ok((id, self.text(size)?)))
    }

    /// The answer to a `stats-job`: `key: value` in each line.
    fn job_stats(&mut self) -> Result<Result<JobStats, Fault>, Fault> {
        let line = self.line()?;
        let Some(Ok(size)) = line.strip_prefix("OK ").map(str::parse) else { return refused(line) };
        let text = self.text(size)?;
        let entries: Vec<_> =
            std::str::from_utf8(&text).unwrap_or_default().lines().filter_map(|line| line.split_once(": ")).collect();
        let of = |key: &str| {
            let (_, value) = entries.iter().find(|(name, _)| *name == key)?;
            // Newer servers put the names of tubes into quotation marks.
            Some(value.trim_matches('"'))
        };
        let garbled = || Fault::Dropped("the answer to stats-job is garbled".to_owned());
        JobStats::read(of).ok_or_else(garbled).map(Ok)
    }

    /// So many bytes, and the end of a line.
    fn text(&mut self, size: usize) -> Result<Vec<u8>, Fault> {
        self.call.begin(self.limit);
        let mut text = vec![0; size + 2];
        self.inbox.read_exact(&mut text).map_err(dropped)?;
        if !text.ends_with(b"\r\n") {
            return Err(Fault::Dropped("what it sent is longer than it said".to_owned()));
        }
        text.truncate(size);
        Ok(text)
    }
}

/// What the server said in place of what was asked for.
fn refused<R>(line: &str) -> Result<Result<R, Fault>, Fault> {
    let word = line.split(' ').next().unwrap_or_default();
    match Fault::named(word) {
        fault if fault.ends_connection() => Err(fault),
        fault => Ok(Err(fault)),
    }
}

fn dropped(error: std::io::Error) -> Fault {
    Fault::Dropped(error.to_string())
}
