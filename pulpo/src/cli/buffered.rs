//! A log that a thread of its own writes, so that no job waits for a slow
//! reader until many lines do.

use std::io::{self, BufWriter, Write};
use std::sync::mpsc::{Receiver, SendError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// How many lines wait for a slow reader before the jobs do. None is dropped:
/// a log with holes is worse than a job that waits.
const MOST_LINES: usize = 10_000;

enum Order {
    Write(Vec<u8>),
    End,
}

/// Where the lines go, each in one call; directly to `rest` once the thread has
/// ended.
pub(super) struct Buffered<R> {
    lines: SyncSender<Order>,
    rest: fn() -> R,
}

impl<R> Clone for Buffered<R> {
    fn clone(&self) -> Self {
        Self { lines: self.lines.clone(), rest: self.rest }
    }
}

/// Has all written that waits when it is dropped.
#[must_use]
pub(super) struct WrittenOut {
    lines: SyncSender<Order>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the thread, which writes to one `out`.
///
/// # Errors
/// If the system has no more threads.
pub(super) fn start<R: Write + 'static>(out: fn() -> R) -> io::Result<(Buffered<R>, WrittenOut)> {
    let (lines, waiting) = sync_channel(MOST_LINES);
    let write = move || write(&waiting, BufWriter::new(out()));
    let thread = thread::Builder::new().name("pulpo-log".to_owned()).spawn(write)?;
    Ok((Buffered { lines: lines.clone(), rest: out }, WrittenOut { lines, thread: Some(thread) }))
}

fn write(waiting: &Receiver<Order>, mut out: impl Write) {
    let mut ended = false;
    while !ended {
        let Ok(first) = waiting.recv() else { return };
        for order in std::iter::once(first).chain(waiting.try_iter()) {
            match order {
                // Nobody is left to tell of a log that cannot be written.
                Order::Write(line) => drop(out.write_all(&line)),
                Order::End => ended = true,
            }
        }
        let _ = out.flush();
    }
}

impl<R: Write> Write for Buffered<R> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self.lines.send(Order::Write(line.to_vec())) {
            Err(SendError(Order::Write(line))) => (self.rest)().write_all(&line)?,
            Err(SendError(Order::End)) | Ok(()) => {}
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for WrittenOut {
    fn drop(&mut self) {
        let _ = self.lines.send(Order::End);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::clock::lock;

    static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

    struct Memory;

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&WRITTEN).write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn all_lines_are_written_in_their_order_also_those_after_the_end() {
        let (mut log, written_out) = start(|| Memory).expect("a thread");
        // More than wait, so that the writer of these has to.
        let lines = MOST_LINES * 3;
        (0..lines).for_each(|line| log.write_all(format!("{line}\n").as_bytes()).expect("taken"));
        drop(written_out);
        log.write_all(format!("{lines}\n").as_bytes()).expect("written");
        let expected: String = (0..=lines).map(|line| format!("{line}\n")).collect();
        assert!(*lock(&WRITTEN) == expected.into_bytes());
    }
}
