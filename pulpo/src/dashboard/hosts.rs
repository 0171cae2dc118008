//! The hosts that requests may name, and the origins of changes.

use std::net::IpAddr;
#[cfg(feature = "cli")]
use std::net::SocketAddr;

/// The hosts that requests may name.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts {
    /// The configured hosts. `None` admits any host.
    set: Option<Vec<String>>,
    /// The hosts known from the listen address.
    implied: Vec<String>,
    /// Whether any address is admitted, for a server that listens on all addresses of its machine. A web page that
    /// reaches it by DNS rebinding names a host, not an address.
    any_address: bool,
}

impl Hosts {
    /// Admits only these hosts.
    pub(super) fn only(hosts: Vec<String>) -> Self {
        Self { set: Some(hosts), ..Self::default() }
    }

    /// Admits these hosts, the listen address and `localhost`.
    #[cfg(feature = "cli")]
    pub(super) fn at(address: SocketAddr, hosts: Vec<String>) -> Self {
        let any_address = address.ip().is_unspecified();
        let address = (!any_address).then(|| address.ip().to_string());
        let implied = address.into_iter().chain(["localhost".to_owned()]).collect();
        Self { set: Some(hosts), implied, any_address }
    }

    /// Checks the host of a request, as its header names it.
    ///
    /// # Errors
    /// Returns the hosts that are admitted, if this is not one of them.
    pub(super) fn check(&self, host: &str) -> Result<(), String> {
        let Some(set) = &self.set else { return Ok(()) };
        let name = without_port(host).unwrap_or_default();
        let is_address = self.any_address && name.parse::<IpAddr>().is_ok();
        if is_address || set.iter().chain(&self.implied).any(|known| same_host(known, name)) {
            return Ok(());
        }
        let any = self.any_address.then_some("an address of this machine");
        let known: Vec<_> = any.into_iter().chain(self.implied.iter().chain(set).map(String::as_str)).collect();
        Err(known.join(", "))
    }

    /// Returns whether a page of this origin may change anything at this host. A proxy may have replaced the host of
    /// the request with one of its own, so the hosts that were set count too. The headers in which a proxy may tell the
    /// original host do not, because a client can set them.
    pub(super) fn admit_origin(&self, origin: &str, host: &str) -> bool {
        let Some((scheme, from)) = origin.split_once("://") else { return false };
        let default_port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return false,
        };
        let plain = |host: &str| host.strip_suffix(default_port).unwrap_or(host).to_ascii_lowercase();
        let set = self.set.iter().flatten();
        !from.is_empty()
            && !from.contains('@')
            && (plain(from) == plain(host)
                || without_port(from).is_some_and(|from| set.into_iter().any(|known| same_host(known, from))))
    }
}

/// Compares two hosts without ports. Addresses are compared by value.
fn same_host(one: &str, other: &str) -> bool {
    match (one.parse::<IpAddr>(), other.parse::<IpAddr>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one.eq_ignore_ascii_case(other),
    }
}

/// Strips the port and the brackets from `host:80` or `[::1]:80`. `None` if there is something else.
fn without_port(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(address) => address.split_once(']')?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_port = |port: &str| port.is_empty() || port.parse::<u16>().is_ok();
    let is_whole = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    is_whole.then_some(name)
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;

    fn at(address: &str, hosts: &[&str]) -> Hosts {
        Hosts::at(address.parse().expect("an address"), hosts.iter().map(|host| (*host).to_owned()).collect())
    }

    #[test]
    fn a_server_on_all_addresses_admits_addresses_and_the_hosts_that_were_set() {
        for listen in ["0.0.0.0:8011", "[::]:8011"] {
            let hosts = at(listen, &["jobs.example.com"]);
            let right =
                ["192.0.2.7:8011", "192.0.2.7", "[2001:db8::7]:8011", "[::1]", "localhost", "JOBS.example.com:1"];
            right.iter().for_each(|host| assert_eq!(hosts.check(host), Ok(()), "{host}"));
            let wrong = ["evil.example", "192.0.2.7.evil.example", "[evil]", "", "192.0.2", "0x7f000001"];
            let known = Err("an address of this machine, localhost, jobs.example.com".to_owned());
            wrong.iter().for_each(|host| assert_eq!(hosts.check(host), known, "{host}"));
        }
    }

    #[test]
    fn a_server_on_one_address_admits_that_one_however_it_is_written() {
        let hosts = at("[::1]:8011", &[]);
        for host in ["[::1]:8011", "[0:0:0:0:0:0:0:1]", "localhost:8011"] {
            assert_eq!(hosts.check(host), Ok(()), "{host}");
        }
        for host in ["[::2]:8011", "127.0.0.1", "[::", "[::1", "[::1]8011", "localhost:8011,evil", "localhost:65536"] {
            assert_eq!(hosts.check(host), Err("::1, localhost".to_owned()), "{host}");
        }
        assert_eq!(Hosts::default().check("anything"), Ok(()));
    }

    #[test]
    fn changes_come_from_pages_of_the_host_or_of_one_that_was_set() {
        let hosts = at("127.0.0.1:8011", &["jobs.example.com", "2001:db8::7"]);
        let from = |origin: &str, host: &str| hosts.admit_origin(origin, host);
        assert!(from("http://127.0.0.1:8011", "127.0.0.1:8011") && from("http://localhost:1", "LOCALHOST:1"));
        assert!(from("http://127.0.0.1", "127.0.0.1:80") && from("https://x.example:443", "x.example"));
        assert!(from("https://x.example", "x.example:443"));
        // Behind a proxy that names its own address for the dashboard.
        assert!(from("https://jobs.example.com", "127.0.0.1:8011") && from("https://Jobs.Example.com:8443", "backend"));
        assert!(from("https://[2001:db8::7]:8443", "backend"));
        for (origin, host) in [
            ("http://127.0.0.1:8012", "127.0.0.1:8011"),
            ("http://localhost:8011", "127.0.0.1:8011"),
            ("http://127.0.0.1:443", "127.0.0.1"),
            ("https://jobs.example.com:8443,evil.example", "127.0.0.1:8011"),
            ("https://jobs.example.com:8443/", "127.0.0.1:8011"),
            ("https://jobs.example.com.evil.example", "127.0.0.1:8011"),
            ("https://jobs.example.com@evil.example", "127.0.0.1:8011"),
            ("https://jobs.example.com:1@evil.example", "127.0.0.1:8011"),
            ("null", "127.0.0.1:8011"),
            ("", ""),
            ("http://", ""),
            ("file://jobs.example.com", "127.0.0.1:8011"),
        ] {
            assert!(!from(origin, host), "{origin} at {host}");
        }
        assert!(
            !Hosts::default().admit_origin("https://x.example", "backend"),
            "admitting any host does not admit any origin"
        );
    }
}
