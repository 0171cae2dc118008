//! The logs of a command: one line per event, on standard error.

use std::io::{self, IsTerminal as _, Write, stderr};
use std::sync::OnceLock;
use std::time::Duration;

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::log_writer::LogWriter;
use super::show::escaped;
use crate::config::{ConsoleOptions, LogFormat};

/// How long a command waits at its end for its last lines to be read. Systems that stop a worker give it some seconds
/// beyond its grace period.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How long a panic waits, since it may end the process.
const PANIC: Duration = Duration::from_millis(100);

/// The log of this process, once it has been started.
static LOG: OnceLock<LogWriter> = OnceLock::new();

/// Writes the last lines when it is dropped.
#[must_use]
pub(super) struct Logs(LogWriter);

impl Logs {
    /// Writes a text before all others.
    pub(super) fn show(&self, text: &str) {
        self.0.take(text.as_bytes());
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        self.0.end(LAST_LINES);
    }
}

/// Starts the log: at this level, or as `RUST_LOG` says, or else at the default level.
pub(super) fn start(level: Option<Level>, default: Level, console: &ConsoleOptions) -> Logs {
    let filter = wanted(level).ok().flatten().unwrap_or_else(|| EnvFilter::new(default.to_string()));
    let json = matches!(console.log_format, LogFormat::Json);
    let log = LOG.get_or_init(|| LogWriter::to_standard_error(json, console.enable_output_buffering));
    let writer = BoxMakeWriter::new(move || Lines { json, out: log.clone() });
    // It would report a failed write with `eprintln!`, which panics.
    let lines = tracing_subscriber::fmt().log_internal_errors(false);
    let lines = lines.with_env_filter(filter).with_target(false).with_writer(writer);
    // A program that has set up its own logs keeps them.
    let _ = match console.log_format {
        LogFormat::Json => lines.json().with_ansi(false).flatten_event(true).with_span_list(false).try_init(),
        LogFormat::Pretty => lines.with_ansi(true).try_init(),
        LogFormat::Plain => lines.with_ansi(false).try_init(),
        LogFormat::Auto => lines.with_ansi(stderr().is_terminal() && colour_is_wanted()).try_init(),
    };
    Logs(log.clone())
}

/// Waits a moment for the log to be written, because a panic may be the end.
pub(super) fn flush_after_panic() {
    if let Some(log) = LOG.get() {
        log.flush(PANIC);
    }
}

/// Writes why the program ends. Waits for the reader no longer than for the rest of the log.
pub(super) fn last_word(text: &str) {
    LOG.get_or_init(|| LogWriter::to_standard_error(false, false)).take(text.as_bytes());
    if let Some(log) = LOG.get() {
        log.end(LAST_LINES);
    }
}

/// Returns the fault of `RUST_LOG`, if it is used and invalid.
pub(super) fn problem(level: Option<Level>) -> Option<String> {
    wanted(level).err()
}

/// Returns the filter of the command line, or else of the environment; `None` if neither has one.
fn wanted(level: Option<Level>) -> Result<Option<EnvFilter>, String> {
    if let Some(level) = level {
        return Ok(Some(EnvFilter::new(level.to_string())));
    }
    let Some(text) = std::env::var_os(EnvFilter::DEFAULT_ENV).filter(|text| !text.is_empty()) else { return Ok(None) };
    let refused = |why: &dyn std::fmt::Display| {
        format!(
            "RUST_LOG: expected a level or levels by module, such as `debug` or `info,my_shop=debug`, got {text:?}: {why}"
        )
    };
    let filter = text.to_str().ok_or_else(|| refused(&"it is not UTF-8 text"))?;
    EnvFilter::try_new(filter).map(Some).map_err(|why| refused(&why))
}

/// Accepts whole lines. JSON does not escape some characters that terminals obey, so this does.
struct Lines<W> {
    json: bool,
    out: W,
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(line) {
            Ok(text) if self.json => self.out.write_all(escaped(text).as_bytes())?,
            _ => self.out.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn colour_is_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
