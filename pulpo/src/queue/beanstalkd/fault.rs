//! Why the server did not do what it was asked.

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
    #[error("its client panicked: {0}")]
    Panicked(String),
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
    /// Whether the connection is of no more use: it is gone, or what comes
    /// next on it may answer an older question.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Self::Unreachable(_)
            | Self::Silent(_)
            | Self::Dropped(_)
            | Self::Panicked(_)
            | Self::Foreign(_)
            | Self::Refused(_) => true,
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

    /// The fault that the server names with this word, as the protocol writes
    /// it or as the client crate's `Debug` does: `NOT_FOUND` or `NotFound`.
    pub(super) fn named(word: &str) -> Self {
        match word.replace('_', "").to_ascii_lowercase().as_str() {
            "notfound" => Self::NotFound,
            "timedout" => Self::TimedOut,
            "deadlinesoon" => Self::DeadlineSoon,
            "jobtoobig" => Self::TooBig,
            "draining" => Self::Draining,
            "outofmemory" => Self::OutOfMemory,
            "buried" => Self::Buried,
            "internalerror" => Self::Refused("INTERNAL_ERROR"),
            "badformat" => Self::Refused("BAD_FORMAT"),
            "unknowncommand" => Self::Refused("UNKNOWN_COMMAND"),
            "expectedcrlf" => Self::Refused("EXPECTED_CRLF"),
            "notignored" => Self::Refused("NOT_IGNORED"),
            _ => Self::Dropped(format!("the answer broke off or is garbled: {word:?}")),
        }
    }
}

/// `None` in place of "not found".
pub(super) fn found<R>(answer: Result<R, Fault>) -> Result<Option<R>, Fault> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(Fault::NotFound) => Ok(None),
        Err(fault) => Err(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_the_server_is_known_in_both_spellings() {
        for words in [["NOT_FOUND", "NotFound"], ["JOB_TOO_BIG", "JobTooBig"], ["EXPECTED_CRLF", "ExpectedCRLF"]] {
            assert_eq!(Fault::named(words[0]), Fault::named(words[1]));
            assert!(!matches!(Fault::named(words[0]), Fault::Dropped(_)), "{words:?}");
        }
        for garbled in ["INSER", "NOT_FOU", "", "OK"] {
            assert!(matches!(Fault::named(garbled), Fault::Dropped(_)), "{garbled}");
        }
    }
}
