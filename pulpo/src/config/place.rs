//! Where messages wait, in one word: `file:./pulpo-data`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where messages wait.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// The embedded queue in a folder: `file:FOLDER`.
    #[non_exhaustive]
    File {
        /// The folder.
        base_path: PathBuf,
        /// Whether done messages are kept in the table `archive`.
        archive: bool,
    },
    /// The embedded queue in memory: `memory:`.
    #[non_exhaustive]
    Memory {
        /// Whether done messages are kept in the table `archive`.
        archive: bool,
    },
}

impl Default for Place {
    fn default() -> Self {
        Self::File { base_path: PathBuf::from("./pulpo-data"), archive: false }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { base_path, .. } => write!(f, "file:{}", base_path.display()),
            Self::Memory { .. } => f.write_str("memory:"),
        }
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let refused = || PlaceError(text.to_owned());
        let (scheme, rest) = text.split_once(':').ok_or_else(refused)?;
        match scheme {
            "file" => {
                // Both file:/var/queue and file:///var/queue are usual.
                let path = rest.strip_prefix("//").unwrap_or(rest);
                if path.is_empty() {
                    return Err(refused());
                }
                Ok(Self::File { base_path: path.into(), archive: false })
            }
            "memory" if rest.is_empty() => Ok(Self::Memory { archive: false }),
            _ => Err(refused()),
        }
    }
}

/// A text that names no place for messages.
#[derive(Debug, thiserror::Error)]
#[error("expected file:FOLDER or memory:, got {0:?}")]
pub struct PlaceError(String);
