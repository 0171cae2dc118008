//! Panics of handlers as lines of the log.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{PanicHookInfo, set_hook};

use crate::guard::panic_text;
use crate::report::limited;

/// From here on a panic is logged with its text escaped. Rust's own report
/// prints it as it is, and it may quote a message that holds line ends.
pub(super) fn log() {
    set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let text = limited(panic_text(panic.payload()).to_owned());
        let at = panic.location().map(ToString::to_string);
        let thread = std::thread::current();
        let backtrace = Backtrace::capture();
        // Names of functions only, on lines of their own as everywhere.
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(backtrace));
        tracing::error!(text, at, thread = thread.name(), backtrace, "panicked");
    }));
}
