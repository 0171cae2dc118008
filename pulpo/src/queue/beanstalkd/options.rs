//! The address of the server, and its timeouts.

use std::time::Duration;

use super::scan::MAX_SCANNED_IDS;

/// The address of a beanstalkd server, and its timeouts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BeanstalkdOptions {
    /// The host: a name or an address. A name is resolved again for each connection.
    pub host: String,
    /// The port; 11300 by default.
    pub port: u16,
    /// How long the server may be silent before a call fails; ten seconds by default. The connection for leases is
    /// kept, and reads the late answer when it comes; it is given up after ten times this long.
    pub socket_timeout: Duration,
    /// How long the server is asked to wait for a job in one request; an interrupt takes effect at the end of it. One
    /// second by default, which is also the maximum: more counts as one. With less, the server is not asked to wait,
    /// and a worker polls.
    pub reserve_timeout: Duration,
    /// The maximum number of ids that a list asks for, the newest first; [`MAX_SCANNED_IDS`] by default.
    pub max_scanned_ids: u64,
}

impl BeanstalkdOptions {
    /// Returns the default options for the server at this host.
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

    /// Sets the port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets [`BeanstalkdOptions::socket_timeout`](#structfield.socket_timeout).
    #[must_use]
    pub fn socket_timeout(mut self, timeout: Duration) -> Self {
        self.socket_timeout = timeout;
        self
    }

    /// Sets [`BeanstalkdOptions::max_scanned_ids`](#structfield.max_scanned_ids).
    #[must_use]
    pub fn max_scanned_ids(mut self, most: u64) -> Self {
        self.max_scanned_ids = most;
        self
    }

    /// Sets [`BeanstalkdOptions::reserve_timeout`](#structfield.reserve_timeout).
    #[must_use]
    pub fn reserve_timeout(mut self, timeout: Duration) -> Self {
        self.reserve_timeout = timeout;
        self
    }
}
