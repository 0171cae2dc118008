//! Where the server is, and how to speak to it.

use std::time::Duration;

use super::scan::MAX_SCANNED_IDS;

/// Where the server is, and how to speak to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BeanstalkdOptions {
    /// A name or an address. A name is resolved again for each connection.
    pub host: String,
    /// 11300 by default.
    pub port: u16,
    /// How long the server may be silent before a call is given up with an
    /// error and its connection replaced. Ten seconds by default.
    pub socket_timeout: Duration,
    /// How long the server is asked to wait for a job in one go; an interrupt
    /// waits for the end of it. In whole seconds; one by default, and at most.
    pub reserve_timeout: Duration,
    /// How many ids a list asks for at most, the newest first:
    /// [`MAX_SCANNED_IDS`] by default.
    pub max_scanned_ids: u64,
}

impl BeanstalkdOptions {
    /// The defaults, for the server at this host.
    #[must_use]
    pub fn new(host: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: 11300,
            socket_timeout: Duration::from_secs(10),
            reserve_timeout: Duration::from_secs(1),
            max_scanned_ids: MAX_SCANNED_IDS,
        }
    }

    /// At this port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// See [`BeanstalkdOptions::socket_timeout`](#structfield.socket_timeout).
    #[must_use]
    pub fn socket_timeout(mut self, timeout: Duration) -> Self {
        self.socket_timeout = timeout;
        self
    }

    /// See [`BeanstalkdOptions::max_scanned_ids`](#structfield.max_scanned_ids).
    #[must_use]
    pub fn max_scanned_ids(mut self, most: u64) -> Self {
        self.max_scanned_ids = most;
        self
    }

    /// See [`BeanstalkdOptions::reserve_timeout`](#structfield.reserve_timeout).
    #[must_use]
    pub fn reserve_timeout(mut self, timeout: Duration) -> Self {
        self.reserve_timeout = timeout;
        self
    }
}
