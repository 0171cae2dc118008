//! Errors of reading messages.

/// Errors of reading a text as a message, or as one with the expected body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The text is not UTF-8, as JSON must be.
    #[error("expected a message in JSON, got bytes that are not UTF-8: {0}")]
    NotUtf8(std::str::Utf8Error),
    /// The text is not JSON.
    #[error("expected a message in JSON, got text that is not: {0}")]
    NotJson(serde_json::Error),
    /// The text is JSON, but not an object.
    #[error("expected a message with header and body, got {0}")]
    NotAnObject(&'static str),
    /// The request type, the only required header, is missing.
    #[error("expected the name of a job in header.request_type, got none")]
    NoRequestType,
    /// The message belongs to another job than the body type that was asked for.
    #[error("expected a message of the job `{expected}`, got one of `{got}`")]
    #[non_exhaustive]
    OtherJob {
        /// The job of the body type.
        expected: &'static str,
        /// The request type of the message.
        got: String,
    },
    /// A value in the header cannot be read.
    #[error("{path}: {source}")]
    #[non_exhaustive]
    Header {
        /// The path of the value, such as `header.delay`.
        path: String,
        /// The error of serde.
        source: serde_json::Error,
    },
    /// The body does not fit the type of its handler.
    #[error("{path}: {source}")]
    #[non_exhaustive]
    Body {
        /// The path of the field, such as `body.items[3].price`.
        path: String,
        /// The error of serde.
        source: serde_json::Error,
    },
}

impl MessageError {
    /// Returns the error without content of the body, for readers who may not see it: serde's errors quote values. An
    /// error in a body is reduced to its path, with the names of the fields.
    pub(crate) fn without_values(&self) -> String {
        match self {
            Self::Body { path, source } => format!(
                "{path}: does not fit the type of its handler, at line {} column {}; `peek` tells why",
                source.line(),
                source.column()
            ),
            Self::NotJson(error) if error.is_data() => {
                format!("expected a message in JSON, got text that is not, at line {}; `peek` tells why", error.line())
            }
            other => other.to_string(),
        }
    }
}
