//! Warnings about a configuration.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Mutex;

use crate::process::fork::PerProcess;
use crate::sync::lock;

/// A warning about a configuration, which is not an error.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ConfigWarning {
    /// A variable of the environment that begins with `PULPO_` and is not a key. It is ignored, since it may be meant
    /// for another program. Variables that Kubernetes and Docker set for a service called `pulpo` do not cause a
    /// warning.
    #[non_exhaustive]
    UnknownVariable {
        /// Its name.
        variable: String,
        /// The variable of the most similar key.
        nearest: Option<String>,
    },
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::UnknownVariable { variable, nearest } = self;
        write!(f, "{variable} is not a configuration key and is ignored")?;
        nearest.iter().try_for_each(|nearest| write!(f, "; did you mean {nearest}?"))
    }
}

/// Logs each warning once per process.
pub(super) fn log(warnings: &[ConfigWarning]) {
    static LOGGED: PerProcess<Mutex<BTreeSet<ConfigWarning>>> = PerProcess::new();
    for warning in warnings {
        if lock(LOGGED.get()).insert(warning.clone()) {
            tracing::warn!("{warning}");
        }
    }
}
