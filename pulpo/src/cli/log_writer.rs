//! Writes the log to standard error. Whatever happens there, a log that cannot be written never ends or delays a job.
//!
//! A thread does the writing. Lines wait for it in memory, up to a limit. Lines beyond the limit, and lines that could
//! not be written, are dropped and counted, and a notice gives their number as soon as it can be written. A regular
//! file accepts all writes, so lines go there directly: none is lost if the process dies a moment later.
//!
//! A fork has no such thread, and may find any lock taken: it writes its lines directly, too.
//!
//! # Invariants
//! Nothing in here panics, fails, or waits for the reader of the log, except [`LogWriter::flush`], and that only for as
//! long as it is told to; and a fork.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use chrono::{SecondsFormat, Utc};

use crate::process::fork::Birthplace;
use crate::sync::lock;

/// The size of the buffer for a slow reader: some 50,000 lines.
const MOST_BYTES: usize = 8 << 20;

/// How long buffered lines are gathered, and how many bytes.
const GATHER: Duration = Duration::from_millis(100);
const GATHERED: usize = 64 << 10;

/// The pause before writing again to an output that takes no more right now.
const AGAIN: Duration = Duration::from_millis(10);

/// Accepts whole lines.
#[derive(Clone)]
pub(super) struct LogWriter(Arc<Shared>);

struct Shared {
    /// The process that has the thread.
    birthplace: Birthplace,
    state: Mutex<State>,
    /// Signals that lines have come, or that a thread waits for them to be written.
    came: Condvar,
    /// Signals that the thread has written the lines that it took.
    written: Condvar,
    /// Whether the notice of lost lines is JSON.
    json: bool,
}

struct State {
    waiting: Vec<u8>,
    /// Number of lines that could not be kept or written and have not been reported.
    lost: u64,
    /// Number of bytes ever accepted, and how many of these are dealt with.
    taken: u64,
    done: u64,
    /// Whether lines wait for others.
    gathers: bool,
    /// Whether a thread waits for the lines to be written now.
    urgent: bool,
    /// Whether waiting for the reader failed, and nothing was written since.
    stalled: bool,
    /// The file that is written directly.
    file: Option<Output>,
}

/// The destination of the bytes.
struct Output {
    to: Box<dyn Write + Send>,
    /// Whether the last write ended in the middle of a line.
    broken: bool,
}

/// Returns the standard error of this process, and whether it is a regular file.
fn standard_error() -> (Box<dyn Write + Send>, bool) {
    // Not the handle of the standard library: a blocked write would hold its lock, and so block everything else that
    // prints.
    #[cfg(unix)]
    if let Ok(file) = std::os::fd::AsFd::as_fd(&io::stderr()).try_clone_to_owned().map(std::fs::File::from) {
        let is_file = file.metadata().is_ok_and(|found| found.is_file());
        return (Box::new(file), is_file);
    }
    (Box::new(io::stderr()), false)
}

impl LogWriter {
    /// Creates a writer to standard error; `buffered` writes several lines at once.
    pub(super) fn to_standard_error(json: bool, buffered: bool) -> Self {
        let (to, is_file) = standard_error();
        Self::new(to, is_file && !buffered, json, buffered)
    }

    fn new(to: Box<dyn Write + Send>, directly: bool, json: bool, gathers: bool) -> Self {
        let output = Output { to, broken: false };
        let state = State {
            waiting: Vec::new(),
            lost: 0,
            taken: 0,
            done: 0,
            gathers,
            urgent: false,
            stalled: false,
            file: None,
        };
        let shared = Arc::new(Shared {
            birthplace: Birthplace::here(),
            state: Mutex::new(state),
            came: Condvar::new(),
            written: Condvar::new(),
            json,
        });
        if directly {
            lock(&shared.state).file = Some(output);
            return Self(shared);
        }
        // If no thread can be started, the output is written directly.
        let ours = Arc::new(Mutex::new(Some(output)));
        let (theirs, of_thread) = (ours.clone(), shared.clone());
        let work = move || {
            let output = lock(&theirs).take();
            if let Some(output) = output {
                of_thread.write_on(output);
            }
        };
        if thread::Builder::new().name("pulpo-log".to_owned()).spawn(work).is_err() {
            lock(&shared.state).file = lock(&ours).take();
        }
        Self(shared)
    }

    /// Accepts one or more lines.
    pub(super) fn take(&self, lines: &[u8]) {
        if !self.0.birthplace.is_here() {
            let mut output = Output { to: standard_error().0, broken: false };
            // A write that fails cannot be reported anywhere.
            let _ = output.write(lines, 0, self.0.json);
            return;
        }
        let mut state = lock(&self.0.state);
        let State { waiting, lost, taken, file, .. } = &mut *state;
        if let Some(output) = file {
            *lost = output.write(lines, *lost, self.0.json);
        } else if waiting.len() + lines.len() > MOST_BYTES {
            *lost += count(lines);
        } else {
            waiting.extend_from_slice(lines);
            *taken += lines.len() as u64;
            drop(state);
            self.0.came.notify_one();
        }
    }

    /// Waits until all accepted lines are written, at most for this long. It does not wait at all if that failed before
    /// and nothing was written since.
    pub(super) fn flush(&self, at_most: Duration) {
        if !self.0.birthplace.is_here() {
            return;
        }
        let mut state = lock(&self.0.state);
        if state.stalled || state.done == state.taken {
            return;
        }
        state.urgent = true;
        let target = state.taken;
        self.0.came.notify_one();
        let waits = |state: &mut State| state.done < target;
        let (mut state, _) =
            self.0.written.wait_timeout_while(state, at_most, waits).unwrap_or_else(PoisonError::into_inner);
        state.stalled = state.done < target;
    }

    /// Writes the last lines, without waiting for others.
    pub(super) fn end(&self, at_most: Duration) {
        if !self.0.birthplace.is_here() {
            return;
        }
        lock(&self.0.state).gathers = false;
        self.flush(at_most);
    }
}

impl Shared {
    /// Runs the thread, for the life of the process.
    fn write_on(&self, mut output: Output) {
        loop {
            let (lines, lost, end) = self.next();
            // The lost lines did not fit after these.
            let mut left = output.write(&lines, 0, self.json);
            if left == 0 && lost > 0 {
                left = output.write(&[], lost, self.json);
            } else {
                left += lost;
            }
            let mut state = lock(&self.state);
            state.lost += left;
            state.done = end;
            state.stalled = false;
            drop(state);
            self.written.notify_all();
        }
    }

    /// Waits for lines, and returns all of them, how many were lost since, and the position.
    fn next(&self) -> (Vec<u8>, u64, u64) {
        let nothing = |state: &mut State| state.waiting.is_empty();
        let mut state = self.came.wait_while(lock(&self.state), nothing).unwrap_or_else(PoisonError::into_inner);
        if state.gathers {
            let gather = |state: &mut State| state.gathers && !state.urgent && state.waiting.len() < GATHERED;
            state = self.came.wait_timeout_while(state, GATHER, gather).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.urgent = false;
        (std::mem::take(&mut state.waiting), std::mem::take(&mut state.lost), state.taken)
    }
}

impl Output {
    /// Writes the number of lost lines and then these lines; returns how many are lost now.
    fn write(&mut self, lines: &[u8], lost: u64, json: bool) -> u64 {
        let notice = if lost > 0 { notice(lost, json) } else { Vec::new() };
        let begun = if self.broken { b"\n".as_slice() } else { &[] };
        let all = [begun, &notice, lines].concat();
        let mut at = 0;
        while at < all.len() {
            match self.to.write(&all[at..]) {
                Ok(0) => break,
                Ok(written) => at += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::park_timeout(AGAIN),
                Err(_) => break,
            }
        }
        self.broken = match at.checked_sub(1) {
            Some(last) => all[last] != b'\n',
            None => self.broken,
        };
        if at == all.len() {
            return 0;
        }
        let told = at >= begun.len() + notice.len();
        count(&lines[at.saturating_sub(begun.len() + notice.len())..]) + if told { 0 } else { lost }
    }
}

fn count(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Returns the line that reports lost ones.
fn notice(lost: u64, json: bool) -> Vec<u8> {
    let time = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
    let message = "lines of the log were lost: they could not be written in time, or not at all";
    let line = if json {
        format!("{{\"timestamp\":\"{time}\",\"level\":\"WARN\",\"message\":\"{message}\",\"lines\":{lost}}}\n")
    } else {
        format!("{time}  WARN {message} lines={lost}\n")
    };
    line.into_bytes()
}

impl Write for LogWriter {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.take(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The behaviour of a reader.
    #[derive(Clone, Default)]
    struct Reader(Arc<(Mutex<Reads>, Condvar)>);

    #[derive(Default)]
    struct Reads {
        text: String,
        /// Whether it reads nothing for now.
        stopped: bool,
        /// Number of bytes after which writes fail for now.
        fails_after: Option<usize>,
        /// Whether a writer waits for it.
        waits: bool,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut reads = lock(&self.0.0);
            reads.waits = reads.stopped;
            self.0.1.notify_all();
            let mut reads = self.0.1.wait_while(reads, |reads| reads.stopped).expect("no panic");
            let room = match &mut reads.fails_after {
                Some(0) => return Err(ErrorKind::StorageFull.into()),
                Some(room) => {
                    let taken = bytes.len().min(*room);
                    *room -= taken;
                    taken
                }
                None => bytes.len(),
            };
            reads.text.push_str(&String::from_utf8_lossy(&bytes[..room]));
            Ok(room)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Reader {
        fn set(&self, change: impl FnOnce(&mut Reads)) {
            change(&mut lock(&self.0.0));
            self.0.1.notify_all();
        }

        /// Returns when a writer waits for it.
        fn once_waited_for(&self) {
            drop(self.0.1.wait_while(lock(&self.0.0), |reads| !reads.waits).expect("no panic"));
        }

        fn text(&self) -> String {
            lock(&self.0.0).text.clone()
        }
    }

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_fork_takes_no_lock_of_the_log() {
        // Without a thread, nothing else refers to it.
        let mut log = LogWriter::new(Box::new(Reader::default()), true, false, false);
        let parent = Birthplace::of(std::process::id().wrapping_add(1));
        Arc::get_mut(&mut log.0).expect("no other holder").birthplace = parent;
        let held = lock(&log.0.state);
        let (done, is_done) = std::sync::mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                log.take(b"the log of a fork goes directly to its standard error\n");
                log.flush(LONG);
                log.end(LONG);
                done.send(()).expect("waited for");
            });
            let ended = is_done.recv_timeout(LONG);
            drop(held);
            ended.expect("it waits for nothing");
        });
    }

    fn writers() -> Vec<(Reader, LogWriter)> {
        let each = [(true, false), (false, false), (false, true)];
        let writer = |(directly, gathers)| {
            let reader = Reader::default();
            (reader.clone(), LogWriter::new(Box::new(reader), directly, false, gathers))
        };
        each.map(writer).into()
    }

    #[test]
    fn all_lines_are_written_in_their_order_also_those_after_the_end() {
        for (reader, log) in writers() {
            (0..30_000).for_each(|line| log.take(format!("{line}\n").as_bytes()));
            log.end(LONG);
            log.take(b"30000\n");
            log.flush(LONG);
            let expected: String = (0..=30_000).map(|line| format!("{line}\n")).collect();
            assert!(reader.text() == expected, "{}", reader.text().len());
        }
    }

    #[test]
    fn a_reader_that_reads_nothing_delays_no_writer_and_learns_how_much_it_has_missed() {
        for (reader, log) in writers().split_off(1) {
            reader.set(|reads| reads.stopped = true);
            log.take(b"first\n");
            log.flush(Duration::ZERO);
            reader.once_waited_for();
            let line = [&[b'x'; 1023][..], b"\n"].concat();
            for _ in 0..2 * MOST_BYTES / line.len() {
                log.take(&line);
            }
            log.flush(Duration::from_millis(1));
            // The next flush does not wait at all.
            log.flush(LONG);
            reader.set(|reads| reads.stopped = false);
            once(|| reader.text().contains("lines of the log were lost"));
            let kept = reader.text().matches(&"x".repeat(1023)).count();
            let lost = 2 * MOST_BYTES / line.len() - kept;
            assert!(reader.text().ends_with(&format!(" lines={lost}\n")), "{lost}");
            log.take(b"last\n");
            log.flush(LONG);
            assert!(reader.text().ends_with("last\n"));
        }
    }

    fn once(mut holds: impl FnMut() -> bool) {
        let end = std::time::Instant::now() + LONG;
        while !holds() {
            assert!(std::time::Instant::now() < end, "timed out");
            thread::yield_now();
        }
    }

    #[test]
    fn a_full_disk_costs_lines_and_is_reported_when_it_is_over() {
        for (reader, log) in writers() {
            reader.set(|reads| reads.fails_after = Some("one\ntw".len()));
            for line in ["one\n", "two\n", "three\n"] {
                log.take(line.as_bytes());
                log.flush(LONG);
            }
            reader.set(|reads| reads.fails_after = None);
            log.take(b"four\n");
            log.flush(LONG);
            log.take(b"five\n");
            log.flush(LONG);
            let text = reader.text();
            let lines: Vec<_> = text.lines().collect();
            assert_eq!((lines[0], lines[1]), ("one", "tw"), "{text}");
            assert!(lines.contains(&"four") && lines.contains(&"five"), "{text}");
            let notices: Vec<_> = lines.iter().filter(|line| line.contains("lines of the log were lost")).collect();
            assert!(notices.len() == 1 && notices[0].ends_with(" lines=2"), "{text}");
        }
    }
}
