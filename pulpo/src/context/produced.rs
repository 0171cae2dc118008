//! The products of a successful run: follow-up jobs, and a result.

use std::sync::Arc;

use serde::Serialize;

use crate::queue::NewMessage;

/// The products of a successful run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Produced {
    /// The jobs that it published.
    pub(crate) follow_ups: Vec<NewMessage>,
    /// Its result, as JSON.
    pub(crate) result: Option<Arc<str>>,
}

/// The maximum size of a result as JSON, in bytes.
const LARGEST_RESULT: usize = 1 << 20;

/// Errors of keeping a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResultError {
    /// It cannot be written as JSON.
    #[error("the result cannot be written as JSON")]
    #[non_exhaustive]
    Encode {
        /// The error of serde.
        source: serde_json::Error,
    },
    /// It is larger than a queue keeps.
    #[error(
        "the result has {size} bytes as JSON, and at most {limit} are kept: store it elsewhere, and keep its address here"
    )]
    #[non_exhaustive]
    TooBig {
        /// Its size in bytes.
        size: usize,
        /// The maximum size in bytes.
        limit: usize,
    },
    /// The queue keeps no results.
    #[error(
        "this queue cannot keep results: use one that can (`file:FOLDER`, `postgres://…`), or keep them in a database \
         of yours"
    )]
    Unsupported,
}

/// Writes the result in the form in which it is kept.
pub(super) fn written<R: Serialize + ?Sized>(result: &R) -> Result<Arc<str>, ResultError> {
    let written = serde_json::to_string(result).map_err(|source| ResultError::Encode { source })?;
    if written.len() > LARGEST_RESULT {
        return Err(ResultError::TooBig { size: written.len(), limit: LARGEST_RESULT });
    }
    Ok(written.into())
}
