//! The default of the process, which `pulpo::publish` uses.

use std::sync::Mutex;

use once_cell::race::OnceBox;

#[cfg(feature = "testing")]
use super::scoped;
use super::{Pulpo, SetupError};
use crate::config::Config;
use crate::process::fork::PerProcess;
use crate::producer::PublishError;
use crate::sync::lock;

/// A fork inherits it, but does not use what its queue has open.
static DEFAULT: OnceBox<Pulpo> = OnceBox::new();
/// Held during creation, so that only one default is created. A fork must not wait for a thread of its parent.
static MAKING: PerProcess<Mutex<()>> = PerProcess::new();

/// Sets up the process-wide default that [`publish`](crate::publish) uses. Otherwise the first use creates it from
/// [`Config::load`], which looks for `pulpo.toml` and relative paths in the folder that is current then. If your
/// program changes its folder, call this first.
///
/// # Errors
/// If the queue cannot be opened, or there already is a default.
pub fn initialize(config: Config) -> Result<(), SetupError> {
    let _making = lock(MAKING.get());
    if DEFAULT.get().is_some() {
        return Err(SetupError::AlreadyInitialized);
    }
    let pulpo = Pulpo::new(config)?;
    DEFAULT.set(Box::new(pulpo)).map_err(|_| SetupError::AlreadyInitialized)
}

/// Returns the process-wide default. If its creation failed, the next use tries again, since the obstacle may be gone.
fn process_wide() -> Result<Pulpo, PublishError> {
    let make = || -> Result<Pulpo, SetupError> {
        #[cfg(feature = "testing")]
        scoped::refuse_after_a_test()?;
        Pulpo::new(Config::load()?)
    };
    if let Some(pulpo) = DEFAULT.get() {
        return Ok(pulpo.clone());
    }
    let _making = lock(MAKING.get());
    if let Some(pulpo) = DEFAULT.get() {
        return Ok(pulpo.clone());
    }
    let pulpo = make().map_err(|error| PublishError::Setup(Box::new(error)))?;
    Ok(DEFAULT.get_or_init(|| Box::new(pulpo)).clone())
}

/// Returns the default: that of the test that this thread runs, or else of the process.
pub(crate) fn get() -> Result<Pulpo, PublishError> {
    chosen().get()
}

/// Captures which default the caller means, so that another thread can get it.
pub(crate) fn chosen() -> Chosen {
    Chosen {
        #[cfg(feature = "testing")]
        scoped: scoped::current(),
    }
}

/// A default that may not exist yet. Creating it may block.
pub(crate) struct Chosen {
    #[cfg(feature = "testing")]
    scoped: Option<Pulpo>,
}

impl Chosen {
    /// Returns the default, if it exists already.
    #[cfg(feature = "tokio")]
    fn ready(&self) -> Option<Pulpo> {
        #[cfg(feature = "testing")]
        if let Some(pulpo) = &self.scoped {
            return Some(pulpo.clone());
        }
        DEFAULT.get().cloned()
    }

    pub(crate) fn get(self) -> Result<Pulpo, PublishError> {
        #[cfg(feature = "testing")]
        if let Some(pulpo) = self.scoped {
            return Ok(pulpo);
        }
        process_wide()
    }

    /// Does the same as [`get`](Self::get), for async code: creating a default opens its queue, which may block.
    #[cfg(feature = "tokio")]
    pub(crate) async fn get_async(self) -> Result<Pulpo, PublishError> {
        match self.ready() {
            Some(pulpo) => Ok(pulpo),
            None => crate::producer::blocking(move || self.get()).await,
        }
    }
}
