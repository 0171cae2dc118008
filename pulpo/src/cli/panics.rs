//! Logs the panics of handlers.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{PanicHookInfo, set_hook};

use super::logs;
use crate::guard::{is_quiet, panic_text};
use crate::report::limited;

/// Logs panics from now on, with their text escaped if texts are wanted. Rust's own report prints the text as it is,
/// and it may quote a message with line breaks.
pub(super) fn log(with_texts: bool) {
    // A panic in here would end the process, so nothing in here may panic, or wait for long.
    set_hook(Box::new(move |panic: &PanicHookInfo<'_>| {
        if is_quiet() {
            return;
        }
        let text = with_texts.then(|| limited(panic_text(panic.payload()).to_owned()));
        let at = panic.location().map(ToString::to_string);
        let thread = std::thread::current();
        let backtrace = Backtrace::capture();
        // Names of functions only, on separate lines as everywhere.
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(backtrace));
        tracing::error!(text, at, thread = thread.name(), backtrace, "panicked");
        logs::flush_after_panic();
    }));
}
