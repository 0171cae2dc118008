//! What a run leaves behind if it ends well: jobs that follow, and a result.

use std::sync::Arc;

use serde::Serialize;

use crate::queue::NewMessage;

/// What a run leaves behind if it ends well.
#[derive(Clone, Debug, Default)]
pub(crate) struct Produced {
    /// What it has published.
    pub(crate) follow_ups: Vec<NewMessage>,
    /// What it has come to, as JSON.
    pub(crate) result: Option<Arc<str>>,
}

/// The most bytes that a result may have, as JSON.
const LARGEST_RESULT: usize = 1 << 20;

/// Why a result is not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResultError {
    /// It cannot be written as JSON.
    #[error("the result cannot be written as JSON")]
    #[non_exhaustive]
    Encode {
        /// What serde says.
        source: serde_json::Error,
    },
    /// It is bigger than a queue keeps.
    #[error(
        "the result has {size} bytes as JSON, and at most {limit} are kept: put it elsewhere, and its address here"
    )]
    #[non_exhaustive]
    TooBig {
        /// How many it has.
        size: usize,
        /// How many it may have.
        limit: usize,
    },
    /// The queue keeps no results.
    #[error(
        "this queue cannot keep results: use one that can (`file:FOLDER`, `postgres://…`), or keep them in a database \
         of yours"
    )]
    Unsupported,
}

/// The result as it is kept.
pub(super) fn written<R: Serialize + ?Sized>(result: &R) -> Result<Arc<str>, ResultError> {
    let written = serde_json::to_string(result).map_err(|source| ResultError::Encode { source })?;
    if written.len() > LARGEST_RESULT {
        return Err(ResultError::TooBig { size: written.len(), limit: LARGEST_RESULT });
    }
    Ok(written.into())
}
