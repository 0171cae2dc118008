//! What is odd about a configuration, and no error.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Mutex;

use crate::clock::lock;
use crate::process::fork::PerProcess;

/// What is odd about a configuration, and no error.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ConfigWarning {
    /// A variable of the environment that begins with `PULPO_` and is no key.
    /// It is ignored: whoever starts a program may have set it for another
    /// one. What Kubernetes and Docker set beside a service called `pulpo` is
    /// not counted.
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

/// Logs each of them once in a process.
pub(super) fn log(warnings: &[ConfigWarning]) {
    static LOGGED: PerProcess<Mutex<BTreeSet<ConfigWarning>>> = PerProcess::new();
    for warning in warnings {
        if lock(LOGGED.get()).insert(warning.clone()) {
            tracing::warn!("{warning}");
        }
    }
}
