//! Where messages wait, in one word: `file:./pulpo-data`,
//! `beanstalkd://host:11300/tube`.

use std::ffi::OsStr;
use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::value::hidden;
use crate::process::paths;
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

    /// Reads the short form, whose folder need not be text.
    pub(super) fn parse(text: &OsStr) -> Result<Self, PlaceError> {
        let refused = |problem: String| PlaceError { text: hidden(&text.to_string_lossy()), problem };
        if let Some(folder) = paths::after(text, "file:") {
            return folder_of(folder).map(|base_path| Self::File { base_path, archive: false }).map_err(refused);
        }
        let text = text.to_str().ok_or_else(|| refused("it is not UTF-8 text".to_owned()))?;
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory { archive: false }),
            Some(("memory", _)) => Err(refused("nothing comes after `memory:`".to_owned())),
            Some(("beanstalkd", rest)) => server(rest).map_err(refused),
            _ => Err(refused(String::new())),
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
        Self::parse(OsStr::new(text))
    }
}

/// The folder of `file:FOLDER`. Both `file:/var/queue` and
/// `file:///var/queue` are usual.
fn folder_of(text: &OsStr) -> Result<PathBuf, String> {
    let Some(after_slashes) = paths::after(text, "//") else {
        let is_empty = text.is_empty();
        return if is_empty { Err("a folder comes after `file:`".to_owned()) } else { Ok(text.into()) };
    };
    let path = paths::after(after_slashes, "localhost").unwrap_or(after_slashes);
    if paths::after(path, "/").is_some() {
        return Ok(path.into());
    }
    Err("a host comes after `file://`: write `file:FOLDER`, or `file:///FOLDER` for one at the root".to_owned())
}

/// Reads `//HOST[:PORT][/TUBE]`; an IPv6 address stands in brackets.
fn server(text: &str) -> Result<Place, String> {
    let rest = text.strip_prefix("//").ok_or("two slashes come after `beanstalkd:`")?;
    // A tube has no `@`, so that one belongs to a user, whose password may
    // have slashes.
    if rest.contains('@') {
        return Err("beanstalkd knows no users: leave out what is before the `@`".to_owned());
    }
    let (address, tube) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match address.strip_prefix('[') {
        Some(address) => {
            let (host, port) = address.split_once(']').ok_or("a bracket is open")?;
            if !is_ipv6(host) {
                return Err("expected an IPv6 address in the brackets".to_owned());
            }
            (host, port)
        }
        None => address.split_at(address.find(':').unwrap_or(address.len())),
    };
    if port.matches(':').count() > 1 {
        return Err("an IPv6 address stands in brackets: `beanstalkd://[::1]:11300`".to_owned());
    }
    if let Some(problem) = host_problem(host) {
        return Err(problem);
    }
    let mut place = Place::beanstalkd(host);
    let Place::Beanstalkd { port: number, default_tube, .. } = &mut place else { return Ok(place) };
    if !port.is_empty() {
        let digits = port.strip_prefix(':').filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
        let read = digits.and_then(|digits| digits.parse().ok()).filter(|number| *number > 0);
        *number = read.ok_or("expected a port from 1 to 65535")?;
    }
    if !tube.is_empty() {
        if let Some(problem) = tube_problem(tube) {
            return Err(format!("what comes after the host cannot be the name of a tube: {problem}"));
        }
        tube.clone_into(default_tube);
    }
    Ok(place)
}

/// Why this cannot be the host of a server: a name, an IPv4 address, or an
/// IPv6 address without brackets. Does not repeat it, as it may hold a secret.
pub(super) fn host_problem(host: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if host.is_empty() {
        Some("the host is missing".to_owned())
    } else if host.chars().all(fits) || is_ipv6(host) {
        None
    } else {
        Some("expected the name or the address of a host".to_owned())
    }
}

/// One of a link has a scope: `fe80::1%eth0`.
fn is_ipv6(host: &str) -> bool {
    let (address, scope) = host.split_once('%').unwrap_or((host, "0"));
    address.parse::<Ipv6Addr>().is_ok() && !scope.is_empty() && scope.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Why this cannot be the name of a tube.
pub(super) fn tube_problem(tube: &str) -> Option<&'static str> {
    #[cfg(feature = "beanstalkd")]
    return crate::queue::beanstalkd::queue_name_problem(tube);
    // A program without the client has no server to offend.
    #[cfg(not(feature = "beanstalkd"))]
    {
        let _ = tube;
        None
    }
}

/// A text that names no place for messages.
#[derive(Debug, thiserror::Error)]
#[error("expected the queue to be {EXPECTED}, got {}", self.got())]
pub struct PlaceError {
    /// Without secrets.
    text: String,
    /// Empty if it looks like none of them.
    problem: String,
}

impl PlaceError {
    /// What was there, and what is wrong with it.
    pub(super) fn got(&self) -> String {
        let Self { text, problem } = self;
        if problem.is_empty() { format!("{text:?}") } else { format!("{text:?}: {problem}") }
    }
}

pub(super) const EXPECTED: &str = "file:FOLDER, beanstalkd://HOST:PORT/TUBE or memory:";
