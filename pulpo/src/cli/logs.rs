//! Where the logs of a command go: to standard error, a line each.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

/// From here on, what is logged is shown.
pub(super) fn start(level: Option<tracing::Level>, work: bool) {
    let default = level.unwrap_or(if work { tracing::Level::INFO } else { tracing::Level::WARN });
    let filter = match level {
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default.to_string())),
        Some(level) => EnvFilter::new(level.to_string()),
    };
    let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // A program that has set up its own logs keeps them.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(colour)
        .with_writer(stderr)
        .try_init();
}
