//! Output depends on its reader: a person at a terminal, or a program.

use std::env::var_os;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::Done;

/// Returns whether standard output is a terminal.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// A terminal that reports a smaller width does not know its width.
const NARROWEST: u16 = 20;

/// A terminal that reports a smaller height does not know its height.
const SHORTEST: u16 = 4;

/// Returns the width of standard output in columns, if it is a terminal.
pub(super) fn width() -> Option<usize> {
    #[cfg(unix)]
    let told = || rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| size.ws_col);
    #[cfg(not(unix))]
    let told = || None;
    is_terminal().then(|| known(told()))
}

/// Returns the width of standard error in columns, if it is a terminal.
pub(super) fn error_width() -> Option<usize> {
    #[cfg(unix)]
    let told = || rustix::termios::tcgetwinsize(io::stderr()).ok().map(|size| size.ws_col);
    #[cfg(not(unix))]
    let told = || None;
    io::stderr().is_terminal().then(|| known(told()))
}

fn known(told: Option<u16>) -> usize {
    told.filter(|width| *width >= NARROWEST).unwrap_or(80).into()
}

/// Returns the height of standard output in rows, if it is a terminal that knows it.
pub(super) fn height() -> Option<usize> {
    #[cfg(unix)]
    let told = || rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| size.ws_row);
    #[cfg(not(unix))]
    let told = || None::<u16>;
    is_terminal().then(|| told().filter(|height| *height >= SHORTEST)).flatten().map(usize::from)
}

/// Returns whether standard output may be coloured: on a terminal, unless `NO_COLOR` is set; elsewhere only if
/// `CLICOLOR_FORCE` is set.
pub(super) fn is_coloured() -> bool {
    let set = |name| var_os(name).is_some_and(|value| !value.is_empty());
    let forced = var_os("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
    !set("NO_COLOR") && (forced || (is_terminal() && var_os("TERM").is_none_or(|terminal| terminal != "dumb")))
}

/// Returns whether there is a person to ask.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for confirmation; any answer but yes is an error.
pub(super) fn ask(question: &str) -> Done {
    let mut terminal = io::stderr();
    write!(terminal, "{question} [y/N] ")?;
    terminal.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err("nothing was done: not confirmed".into()),
    }
}

/// Creates a progress bar for this many steps, on standard error if that is a terminal. It shows only if the command
/// takes longer than a moment.
pub(super) fn progress(all: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len}, {per_sec}, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(all).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Returns whether the cursor of standard output can be moved.
pub(super) fn can_move() -> bool {
    is_terminal() && var_os("TERM").is_some_and(|terminal| terminal != "dumb")
}
