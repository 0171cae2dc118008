//! Runs the user's code so that nothing it does escapes the call: a panic becomes text, and dropping a value here
//! cannot panic any further.
//!
//! # Invariants
//! Only plain data leaves this module. No lock of ours is held while any code in here runs.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `code`; the error is the text of its panic.
pub(crate) fn catch<R>(code: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|panic| {
        let text = panic_text(&*panic).to_owned();
        discard(panic);
        text
    })
}

thread_local! {
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Calls `code`, as [`catch`], where a panic is not the failure of a job: our panic hook does not log it.
pub(crate) fn catch_quietly<R>(code: impl FnOnce() -> R) -> Result<R, String> {
    let before = IS_QUIET.replace(true);
    let caught = catch(code);
    IS_QUIET.set(before);
    caught
}

/// Returns whether a panic of this thread is to be passed over.
#[cfg(feature = "cli")]
pub(crate) fn is_quiet() -> bool {
    IS_QUIET.get()
}

/// Drops a value of the user's. A panic in its destructor changes nothing: the panic hook has reported it already.
pub(crate) fn discard<T>(value: T) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        // The payload may panic when it is dropped, and so may the payload of
        // that panic. Leaking a few bytes ends the chain.
        if let Err(next) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(next);
        }
    }
}

/// Returns the message of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("with something that is not text")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics when it is dropped, and so does the payload of that panic.
    struct Endless;

    impl Drop for Endless {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new(Endless));
        }
    }

    #[test]
    fn a_panic_is_its_text_whatever_it_carries() {
        assert_eq!(catch(|| 7), Ok(7));
        assert_eq!(catch(|| -> u8 { panic!("boom") }), Err("boom".to_owned()));
        assert_eq!(catch(|| -> u8 { panic!("boom {}", 2) }), Err("boom 2".to_owned()));
        let other = catch(|| -> u8 { std::panic::panic_any(7_u8) });
        assert_eq!(other, Err("with something that is not text".to_owned()));
    }

    #[test]
    fn a_panic_in_a_drop_ends_here() {
        discard(Endless);
        let text = catch(|| -> u8 { std::panic::panic_any(Endless) });
        assert_eq!(text, Err("with something that is not text".to_owned()));
    }
}
