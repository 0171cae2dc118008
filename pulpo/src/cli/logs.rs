//! Where the logs of a command go: to standard error, a line each.

use std::io::{self, IsTerminal as _, Write, stderr};

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::buffered::{self, WrittenOut};
use super::show::escaped;
use crate::config::{ConsoleOptions, LogFormat};

/// Writes out what is buffered when it is dropped.
#[must_use]
pub(super) struct Logs(#[expect(dead_code, reason = "it works by being dropped")] Option<WrittenOut>);

/// From here on, what is logged is shown: at this level, or as `RUST_LOG`
/// says, or by default at that one.
pub(super) fn start(level: Option<Level>, default: Level, console: &ConsoleOptions) -> Logs {
    let filter = wanted(level).ok().flatten().unwrap_or_else(|| EnvFilter::new(default.to_string()));
    let json = matches!(console.log_format, LogFormat::Json);
    // Without a thread for it, the log is written as it comes.
    let buffered = console.enable_output_buffering.then(|| buffered::start(stderr).ok()).flatten();
    let (writer, guard) = match buffered {
        Some((log, guard)) => (BoxMakeWriter::new(move || Lines { json, out: log.clone() }), Some(guard)),
        None => (BoxMakeWriter::new(move || Lines { json, out: stderr() }), None),
    };
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(writer);
    // A program that has set up its own logs keeps them.
    let _ = match console.log_format {
        LogFormat::Json => lines.json().with_ansi(false).flatten_event(true).with_span_list(false).try_init(),
        LogFormat::Pretty => lines.with_ansi(true).try_init(),
        LogFormat::Plain => lines.with_ansi(false).try_init(),
        LogFormat::Auto => lines.with_ansi(stderr().is_terminal() && colour_is_wanted()).try_init(),
    };
    Logs(guard)
}

/// What is wrong with `RUST_LOG`, if it is used.
pub(super) fn problem(level: Option<Level>) -> Option<String> {
    wanted(level).err()
}

/// What the command line says is logged, or else the environment; `None`:
/// neither says anything.
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

/// Takes whole lines. JSON lets characters through that some terminals obey.
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
