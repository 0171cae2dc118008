//! Where futures are run: a Tokio runtime of the program's own, or the one of
//! this process, made when the first future comes.

use std::io;
use std::sync::{Mutex, OnceLock};

use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

use crate::clock::lock;

static SHARED: OnceLock<Runtime> = OnceLock::new();
/// Held while the runtime is being made, so that it is made once.
static MAKING: Mutex<()> = Mutex::new(());

/// The runtime of this process.
pub(crate) fn shared() -> io::Result<Handle> {
    if SHARED.get().is_none() {
        let _making = lock(&MAKING);
        if SHARED.get().is_none() {
            // All drivers that the program has compiled in: it is its code
            // that runs here.
            let runtime = Builder::new_multi_thread().enable_all().thread_name("pulpo-async").build()?;
            let _ = SHARED.set(runtime);
        }
    }
    Ok(SHARED.get().expect("just made").handle().clone())
}

/// The runtime that this thread is in, if its timers and sockets go on while
/// the thread is blocked, which those of a single-threaded one do not.
pub(crate) fn around() -> Option<Handle> {
    Handle::try_current().ok().filter(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
}

/// Runs what blocks on a thread that may be blocked; `None` if the runtime is
/// shut down before it was run.
pub(crate) async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> io::Result<Option<R>> {
    let handle = match Handle::try_current() {
        Ok(handle) => handle,
        // Another executor polls us.
        Err(_) => shared()?,
    };
    match handle.spawn_blocking(work).await {
        Ok(result) => Ok(Some(result)),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Ok(None),
        },
    }
}
