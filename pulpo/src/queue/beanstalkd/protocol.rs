//! The protocol of beanstalkd as bytes: [`Commands`] to send, and the [`Answer`] to each.
//!
//! Commands are gathered and sent in one write; the answers come in the same order. An answer can be parsed without its
//! command, since its first word says whether a text follows. The caller matches the two: an answer that does not
//! belong to its command is a [`Fault`] that ends the connection.
//!
//! Left out are `reserve` without a timeout, `reserve-job`, `quit`, and the commands that only people use.
//!
//! # Invariants
//! - A line of an answer is bounded ([`LONGEST_LINE`]), and so is a text ([`LONGEST_TEXT`]). Memory grows with the
//!   bytes that arrive, not with the announced size.
//! - [`Reading`] keeps a partial answer, so that a read continues where it timed out.

use std::io::{self, BufRead, Read as _, Write as _};

use super::fault::Fault;

/// The maximum length of a line, in bytes; the longest answer is the name of a tube.
const LONGEST_LINE: u64 = 1024;

/// The maximum length of a text, in bytes: the server limits a job to 1 GiB, whatever `-z` says.
const LONGEST_TEXT: usize = 1 << 30;

/// How much memory to reserve before any byte of a text has arrived.
const FIRST_ROOM: usize = 64 * 1024;

/// Commands that are sent in one write.
#[derive(Debug, Default)]
pub(super) struct Commands {
    bytes: Vec<u8>,
    count: usize,
}

impl Commands {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Returns how many answers they will have.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn add(&mut self, command: std::fmt::Arguments<'_>) -> &mut Self {
        self.bytes.write_fmt(command).expect("memory takes what is written");
        self.bytes.extend_from_slice(b"\r\n");
        self.count += 1;
        self
    }

    pub(super) fn use_tube(&mut self, tube: &str) -> &mut Self {
        self.add(format_args!("use {tube}"))
    }

    pub(super) fn list_tube_used(&mut self) -> &mut Self {
        self.add(format_args!("list-tube-used"))
    }

    /// Adds a `put`; delay and ttr are in seconds.
    pub(super) fn put(&mut self, text: &str, priority: u32, delay: u32, ttr: u32) -> &mut Self {
        self.bytes.reserve(text.len() + 64);
        write!(self.bytes, "put {priority} {delay} {ttr} {}\r\n", text.len()).expect("memory takes what is written");
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
        self.count += 1;
        self
    }

    pub(super) fn watch(&mut self, tube: &str) -> &mut Self {
        self.add(format_args!("watch {tube}"))
    }

    pub(super) fn ignore(&mut self, tube: &str) -> &mut Self {
        self.add(format_args!("ignore {tube}"))
    }

    pub(super) fn reserve(&mut self, seconds: u64) -> &mut Self {
        self.add(format_args!("reserve-with-timeout {seconds}"))
    }

    pub(super) fn delete(&mut self, id: u64) -> &mut Self {
        self.add(format_args!("delete {id}"))
    }

    /// Adds a `release`; the delay is in seconds.
    pub(super) fn release(&mut self, id: u64, priority: u32, delay: u32) -> &mut Self {
        self.add(format_args!("release {id} {priority} {delay}"))
    }

    pub(super) fn bury(&mut self, id: u64, priority: u32) -> &mut Self {
        self.add(format_args!("bury {id} {priority}"))
    }

    pub(super) fn touch(&mut self, id: u64) -> &mut Self {
        self.add(format_args!("touch {id}"))
    }

    /// Makes a buried or delayed job ready.
    pub(super) fn kick_job(&mut self, id: u64) -> &mut Self {
        self.add(format_args!("kick-job {id}"))
    }

    /// Makes up to this many buried jobs of the current tube ready, or delayed ones if none is buried.
    pub(super) fn kick(&mut self, most: u64) -> &mut Self {
        self.add(format_args!("kick {most}"))
    }

    pub(super) fn peek(&mut self, id: u64) -> &mut Self {
        self.add(format_args!("peek {id}"))
    }

    /// Peeks at the first job of the current tube in this state: `ready`, `delayed` or `buried`.
    pub(super) fn peek_first(&mut self, state: &str) -> &mut Self {
        self.add(format_args!("peek-{state}"))
    }

    pub(super) fn stats(&mut self) -> &mut Self {
        self.add(format_args!("stats"))
    }

    pub(super) fn stats_job(&mut self, id: u64) -> &mut Self {
        self.add(format_args!("stats-job {id}"))
    }

    pub(super) fn stats_tube(&mut self, tube: &str) -> &mut Self {
        self.add(format_args!("stats-tube {tube}"))
    }

    pub(super) fn list_tubes(&mut self) -> &mut Self {
        self.add(format_args!("list-tubes"))
    }

    /// Stops the tube from handing out jobs for this many seconds.
    pub(super) fn pause_tube(&mut self, tube: &str, seconds: u32) -> &mut Self {
        self.add(format_args!("pause-tube {tube} {seconds}"))
    }
}

/// The server's answer to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Inserted(u64),
    /// With the id, in answer to a `put` for which the server had no memory.
    Buried(Option<u64>),
    Using,
    Watching,
    Reserved {
        id: u64,
        text: Vec<u8>,
    },
    Found {
        id: u64,
        text: Vec<u8>,
    },
    /// The text of a `stats` command or a list.
    Told(Vec<u8>),
    Deleted,
    Released,
    Touched,
    /// With the number, in answer to a `kick`.
    Kicked(Option<u64>),
    Paused,
    NotFound,
    TimedOut,
    DeadlineSoon,
    TooBig,
    Draining,
    OutOfMemory,
}

impl Answer {
    /// Converts an unexpected answer into a fault: a refusal if the server may give that answer, otherwise the end of
    /// the connection.
    pub(super) fn refusal(self) -> Fault {
        match self {
            Self::NotFound => Fault::NotFound,
            Self::TimedOut => Fault::TimedOut,
            Self::DeadlineSoon => Fault::DeadlineSoon,
            Self::TooBig => Fault::TooBig,
            Self::Draining => Fault::Draining,
            Self::OutOfMemory => Fault::OutOfMemory,
            Self::Buried(_) => Fault::Buried,
            other => Fault::Foreign(other.word().to_owned()),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Inserted(_) => "INSERTED",
            Self::Buried(_) => "BURIED",
            Self::Using => "USING",
            Self::Watching => "WATCHING",
            Self::Reserved { .. } => "RESERVED",
            Self::Found { .. } => "FOUND",
            Self::Told(_) => "OK",
            Self::Deleted => "DELETED",
            Self::Released => "RELEASED",
            Self::Touched => "TOUCHED",
            Self::Kicked(_) => "KICKED",
            Self::Paused => "PAUSED",
            Self::NotFound => "NOT_FOUND",
            Self::TimedOut => "TIMED_OUT",
            Self::DeadlineSoon => "DEADLINE_SOON",
            Self::TooBig => "JOB_TOO_BIG",
            Self::Draining => "DRAINING",
            Self::OutOfMemory => "OUT_OF_MEMORY",
        }
    }

    /// Checks that the answer is this one word.
    pub(super) fn expect(self, expected: &Self) -> Result<(), Fault> {
        if self == *expected { Ok(()) } else { Err(self.refusal()) }
    }

    /// Returns the id of a job that was put.
    pub(super) fn inserted(self) -> Result<u64, Fault> {
        match self {
            Self::Inserted(id) => Ok(id),
            other => Err(other.refusal()),
        }
    }

    /// Returns the job that was reserved.
    pub(super) fn reserved(self) -> Result<(u64, Vec<u8>), Fault> {
        match self {
            Self::Reserved { id, text } => Ok((id, text)),
            other => Err(other.refusal()),
        }
    }

    /// Returns the job that was peeked at.
    pub(super) fn peeked(self) -> Result<Option<(u64, Vec<u8>)>, Fault> {
        match self {
            Self::Found { id, text } => Ok(Some((id, text))),
            Self::NotFound => Ok(None),
            other => Err(other.refusal()),
        }
    }

    /// Returns the text of a `stats` command or a list; `None` if there is no such thing.
    pub(super) fn told(self) -> Result<Option<String>, Fault> {
        match self {
            // Names of tubes are ASCII, and so is the rest.
            Self::Told(text) => Ok(Some(
                String::from_utf8(text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
            )),
            Self::NotFound => Ok(None),
            other => Err(other.refusal()),
        }
    }

    /// Returns whether the command took effect; false if its object was not found.
    pub(super) fn done(self, expected: &Self) -> Result<bool, Fault> {
        match self {
            Self::NotFound => Ok(false),
            other => other.expect(expected).map(|()| true),
        }
    }

    /// Returns how many jobs were kicked.
    pub(super) fn kicked(self) -> Result<u64, Fault> {
        match self {
            Self::Kicked(Some(count)) => Ok(count),
            other => Err(other.refusal()),
        }
    }

    /// Parses the first line of an answer; if a text follows, returns its size too.
    fn of_line(line: &str) -> Result<(Self, Option<usize>), Fault> {
        let foreign = || Fault::Foreign(line.to_owned());
        let mut words = line.split(' ');
        let word = words.next().unwrap_or_default();
        let (first, second) = (words.next(), words.next());
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok()).ok_or_else(foreign);
        let maybe = |text: Option<&str>| text.map(|text| number(Some(text))).transpose();
        let size = |text: Option<&str>| {
            let size = number(text)?;
            usize::try_from(size).ok().filter(|size| *size <= LONGEST_TEXT).map(Some).ok_or_else(foreign)
        };
        let none = Ok(None);
        let (answer, text) = match word {
            "INSERTED" => (Self::Inserted(number(first)?), none),
            "BURIED" => (Self::Buried(maybe(first)?), none),
            "USING" => (Self::Using, none),
            "WATCHING" => (Self::Watching, none),
            "RESERVED" => (Self::Reserved { id: number(first)?, text: Vec::new() }, size(second)),
            "FOUND" => (Self::Found { id: number(first)?, text: Vec::new() }, size(second)),
            "OK" => (Self::Told(Vec::new()), size(first)),
            "DELETED" => (Self::Deleted, none),
            "RELEASED" => (Self::Released, none),
            "TOUCHED" => (Self::Touched, none),
            "KICKED" => (Self::Kicked(maybe(first)?), none),
            "PAUSED" => (Self::Paused, none),
            "NOT_FOUND" => (Self::NotFound, none),
            "TIMED_OUT" => (Self::TimedOut, none),
            "DEADLINE_SOON" => (Self::DeadlineSoon, none),
            "JOB_TOO_BIG" => (Self::TooBig, none),
            "DRAINING" => (Self::Draining, none),
            "OUT_OF_MEMORY" => (Self::OutOfMemory, none),
            "INTERNAL_ERROR" => return Err(Fault::Refused("INTERNAL_ERROR")),
            "BAD_FORMAT" => return Err(Fault::Refused("BAD_FORMAT")),
            "UNKNOWN_COMMAND" => return Err(Fault::Refused("UNKNOWN_COMMAND")),
            "EXPECTED_CRLF" => return Err(Fault::Refused("EXPECTED_CRLF")),
            "NOT_IGNORED" => return Err(Fault::Refused("NOT_IGNORED")),
            _ => return Err(foreign()),
        };
        Ok((answer, text?))
    }
}

/// A partial answer.
#[derive(Debug, Default)]
pub(super) struct Reading {
    line: Vec<u8>,
    /// An answer whose text is still to come, and the size of that text.
    begun: Option<(Answer, usize)>,
    text: Vec<u8>,
}

/// Why an answer cannot be read, now or at all.
#[derive(Debug)]
pub(super) enum ReadError {
    /// A socket error; after a timeout, reading can continue.
    Socket(io::Error),
    /// A fault in the answer.
    Answer(Fault),
}

impl Reading {
    /// Returns whether no byte of the next answer has arrived.
    pub(super) fn is_between_answers(&self) -> bool {
        self.line.is_empty() && self.begun.is_none()
    }

    /// Reads one answer, or continues reading it.
    pub(super) fn next(&mut self, from: &mut impl BufRead) -> Result<Answer, ReadError> {
        if self.begun.is_none() {
            match self.first_line(from)? {
                (answer, None) => return Ok(answer),
                (answer, Some(size)) => {
                    self.text = Vec::with_capacity(size.min(FIRST_ROOM) + 2);
                    self.begun = Some((answer, size));
                }
            }
        }
        let size = self.begun.as_ref().map_or(0, |(_, size)| *size) + 2;
        let missing = (size - self.text.len()) as u64;
        from.take(missing).read_to_end(&mut self.text).map_err(ReadError::Socket)?;
        if self.text.len() < size {
            return Err(ReadError::Answer(Fault::Dropped("the data broke off".to_owned())));
        }
        if !self.text.ends_with(b"\r\n") {
            return Err(ReadError::Answer(Fault::Dropped("the data is longer than the server said".to_owned())));
        }
        let mut whole = std::mem::take(&mut self.text);
        whole.truncate(size - 2);
        match self.begun.take() {
            Some((Answer::Reserved { id, .. }, _)) => Ok(Answer::Reserved { id, text: whole }),
            Some((Answer::Found { id, .. }, _)) => Ok(Answer::Found { id, text: whole }),
            _ => Ok(Answer::Told(whole)),
        }
    }

    /// Reads the line that begins an answer. An incomplete line is an error: if `INSERTED 1234` broke off after the 1,
    /// the id would be another job's.
    fn first_line(&mut self, from: &mut impl BufRead) -> Result<(Answer, Option<usize>), ReadError> {
        let room = LONGEST_LINE.saturating_sub(self.line.len() as u64);
        from.take(room).read_until(b'\n', &mut self.line).map_err(ReadError::Socket)?;
        let line = String::from_utf8_lossy(&self.line);
        let first = match line.strip_suffix("\r\n") {
            Some(line) => Answer::of_line(line),
            None if line.is_empty() => Err(Fault::Dropped("the server closed it".to_owned())),
            None if line.ends_with('\n') || line.len() as u64 >= LONGEST_LINE => {
                Err(Fault::Foreign(line.trim_end().chars().take(100).collect()))
            }
            None => Err(Fault::Dropped(format!("the answer broke off: {line:?}"))),
        };
        // Keeps its memory for the next answer.
        self.line.clear();
        first.map_err(ReadError::Answer)
    }
}

#[cfg(test)]
mod tests;
