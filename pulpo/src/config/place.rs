//! Where messages wait, in one word: `file:./pulpo-data`,
//! `beanstalkd://host:11300/tube`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::queue::DEFAULT_QUEUE;

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
    /// A server: `beanstalkd://HOST[:PORT][/TUBE]`.
    #[non_exhaustive]
    Beanstalkd {
        /// A name or an address.
        host: String,
        /// 11300 by default.
        port: u16,
        /// The queue of jobs that name none.
        default_tube: String,
        /// How long the server may be silent.
        socket_timeout: Duration,
        /// How long it is asked to wait for a job in one go.
        reserve_timeout: Duration,
    },
}

impl Place {
    /// A server at this host, and all else as it is by default.
    pub(super) fn beanstalkd(host: &str) -> Self {
        Self::Beanstalkd {
            host: host.to_owned(),
            port: 11300,
            default_tube: DEFAULT_QUEUE.to_owned(),
            socket_timeout: Duration::from_secs(10),
            reserve_timeout: Duration::from_secs(1),
        }
    }
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
            Self::Beanstalkd { host, port, default_tube, .. } if host.contains(':') => {
                write!(f, "beanstalkd://[{host}]:{port}/{default_tube}")
            }
            Self::Beanstalkd { host, port, default_tube, .. } => write!(f, "beanstalkd://{host}:{port}/{default_tube}"),
        }
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let refused = || PlaceError(super::value::masked(text));
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
            "beanstalkd" => server(rest).ok_or_else(refused),
            _ => Err(refused()),
        }
    }
}

/// Reads `//HOST[:PORT][/TUBE]`; an IPv6 address stands in brackets.
fn server(text: &str) -> Option<Place> {
    let rest = text.strip_prefix("//")?;
    let (address, tube) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, after) = match address.strip_prefix('[') {
        Some(address) => address.split_once(']')?,
        None => address.split_at(address.find(':').unwrap_or(address.len())),
    };
    let mut place = Place::beanstalkd(host);
    let Place::Beanstalkd { port, default_tube, .. } = &mut place else { return None };
    if let Some(written) = after.strip_prefix(':') {
        *port = written.parse().ok()?;
    } else if !after.is_empty() {
        return None;
    }
    if !tube.is_empty() {
        tube.clone_into(default_tube);
    }
    (!host.is_empty()).then_some(place)
}

/// A text that names no place for messages.
#[derive(Debug, thiserror::Error)]
#[error("expected the queue to be {EXPECTED}, got {0:?}")]
pub struct PlaceError(String);

pub(super) const EXPECTED: &str = "file:FOLDER, beanstalkd://HOST:PORT/TUBE or memory:";
