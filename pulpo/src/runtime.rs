//! The Tokio runtime on which futures run: the program's own, or one that is created for this process with the first
//! future.

use std::io;
use std::sync::{Mutex, OnceLock};

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

use crate::process::fork::{PerProcess, RUNTIMES, in_fork};
use crate::sync::lock;

/// Kept per process, because a fork has none of the threads of its parent's runtime.
static SHARED: PerProcess<Shared> = PerProcess::new();

#[derive(Debug, Default)]
struct Shared {
    runtime: OnceLock<Runtime>,
    /// Held during creation, so that only one runtime is created.
    making: Mutex<()>,
}

/// Returns the runtime of this process.
pub(crate) fn shared() -> io::Result<Handle> {
    let Shared { runtime, making } = SHARED.get();
    if runtime.get().is_none() {
        let _making = lock(making);
        if runtime.get().is_none() {
            // Enable all drivers that are compiled in, because the program's own code runs here.
            let make = || Builder::new_multi_thread().enable_all().thread_name("pulpo-async").build();
            let made = RUNTIMES.run(io::Error::other, make)?;
            let _ = runtime.set(made);
        }
    }
    Ok(runtime.get().expect("just made").handle().clone())
}

/// Returns the runtime of this thread, if its timers and sockets go on while the thread is blocked. Those of a
/// single-threaded runtime do not.
pub(crate) fn around() -> Option<Handle> {
    entered().filter(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
}

/// Returns the runtime of this thread, unless it may belong to a parent process: such a runtime would queue tasks for
/// threads that do not exist here.
fn entered() -> Option<Handle> {
    if in_fork() { None } else { Handle::try_current().ok() }
}

/// Runs blocking work on a thread that may block; `None` if the runtime shuts down before the work runs.
pub(crate) async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> io::Result<Option<R>> {
    let handle = match entered() {
        Some(handle) => handle,
        // Another executor polls this future.
        None => shared()?,
    };
    match handle.spawn_blocking(work).await {
        Ok(result) => Ok(Some(result)),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Ok(None),
        },
    }
}
