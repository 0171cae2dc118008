//! Why the server did not carry out a command.

use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("{0}")]
    Unreachable(String),
    #[error("all connections to it are in use, and none became free within {time}", time = humantime::format_duration(*.0))]
    Busy(Duration),
    #[error("it did not answer within {time}", time = humantime::format_duration(*.0))]
    Silent(Duration),
    #[error("the connection was lost: {0}")]
    Dropped(String),
    #[error("it answered {0:?}")]
    Foreign(String),
    #[error("it refused the command: {0}")]
    Refused(&'static str),
    #[error("there is no such job, or it is reserved by another connection")]
    NotFound,
    #[error("no job came in time")]
    TimedOut,
    #[error("the lease of a reserved job ends soon")]
    DeadlineSoon,
    #[error("the job is too big")]
    TooBig,
    #[error("it takes no more jobs before it is stopped")]
    Draining,
    #[error("it is out of memory")]
    OutOfMemory,
    #[error("it was out of memory and buried the job")]
    Buried,
}

impl Fault {
    /// Returns whether the connection is no longer usable: it is gone, or its next answer may belong to an older
    /// command.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Silent(_) | Self::Dropped(_) | Self::Foreign(_) | Self::Refused(_) => true,
            Self::Busy(_)
            | Self::NotFound
            | Self::TimedOut
            | Self::DeadlineSoon
            | Self::TooBig
            | Self::Draining
            | Self::OutOfMemory
            | Self::Buried => false,
        }
    }
}
