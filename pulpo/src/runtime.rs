//! Where futures are run: a Tokio runtime of the program's own, or the one of
//! this process, made when the first future comes.

use std::io;
use std::sync::{Mutex, OnceLock};

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

use crate::clock::lock;
use crate::process::fork::{PerProcess, in_fork};

/// A fork has none of the threads of its parent's runtime.
static SHARED: PerProcess<Shared> = PerProcess::new();

#[derive(Debug, Default)]
struct Shared {
    runtime: OnceLock<Runtime>,
    /// Held while the runtime is being made, so that it is made once.
    making: Mutex<()>,
}

/// The runtime of this process.
pub(crate) fn shared() -> io::Result<Handle> {
    let Shared { runtime, making } = SHARED.get();
    if runtime.get().is_none() {
        let _making = lock(making);
        if runtime.get().is_none() {
            // All drivers that the program has compiled in: it is its code
            // that runs here.
            let made = Builder::new_multi_thread().enable_all().thread_name("pulpo-async").build()?;
            let _ = runtime.set(made);
        }
    }
    Ok(runtime.get().expect("just made").handle().clone())
}

/// The runtime that this thread is in, if its timers and sockets go on while
/// the thread is blocked, which those of a single-threaded one do not.
pub(crate) fn around() -> Option<Handle> {
    entered().filter(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
}

/// The runtime that this thread is in, unless it may be one of a parent
/// process: that one would queue what it is given, for threads that are not
/// there.
fn entered() -> Option<Handle> {
    if in_fork() { None } else { Handle::try_current().ok() }
}

/// Runs what blocks on a thread that may be blocked; `None` if the runtime is
/// shut down before it was run.
pub(crate) async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> io::Result<Option<R>> {
    let handle = match entered() {
        Some(handle) => handle,
        // Another executor polls us.
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
