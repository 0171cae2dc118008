//! Parses the names of servers in a configuration: `beanstalkd://HOST[:PORT][/TUBE]`.

use std::ffi::OsString;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

use super::{BeanstalkdOptions, BeanstalkdQueue, queue_name_problem};
use crate::clock::{Clock, SystemClock};
use crate::queue::backend::{Address, Factory, Key, Purpose, Registration, Scheme, Settings};
use crate::queue::several::{Identify, Several};
use crate::queue::{Capabilities, QueueAdapter, QueueError};

struct Beanstalkd;

inventory::submit! { Registration::new(&Beanstalkd, file!(), line!()) }

const DEFAULT_PORT: &str = "11300";
/// The server does not count beyond `u32::MAX` seconds.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);
const SHORTEST: Duration = Duration::from_millis(10);
/// A stop is noticed when a request ends.
const LONGEST_RESERVE: Duration = Duration::from_secs(1);
/// How long a check waits until the servers have told which they are.
const CHECK_PATIENCE: Duration = Duration::from_secs(2);

impl Factory for Beanstalkd {
    fn schemes(&self) -> &'static [Scheme] {
        const { &[Scheme::new("beanstalkd", "beanstalkd://HOST:PORT/TUBE")] }
    }

    fn table(&self) -> &'static str {
        "beanstalkd_queue_adapter"
    }

    fn keeps_schedules(&self) -> bool {
        false
    }

    fn keys(&self) -> &'static [Key] {
        const {
            &[
                Key::text(
                    "host",
                    "localhost",
                    "the server; several servers, separated by commas, are one queue: `a,b:11301`",
                )
                .check(check_host),
                Key::whole(
                    "port",
                    DEFAULT_PORT,
                    1..=u16::MAX as u64,
                    "the port, from 1 to 65535; with several servers, the port of those that name none",
                ),
                Key::text("default_tube", crate::queue::DEFAULT_QUEUE, "the queue of jobs that name none")
                    .check(check_tube),
                Key::duration(
                    "socket_timeout",
                    "10s",
                    SHORTEST..=LONGEST,
                    "how long the server may be silent before a call fails; at least 10ms",
                ),
                Key::duration(
                    "reserve_timeout",
                    "1s",
                    SHORTEST..=LONGEST_RESERVE,
                    "how long one request waits at the server for a job, from 10ms to 1s; below 1s, the worker polls",
                ),
            ]
        }
    }

    /// Parses `//HOST[:PORT][/TUBE]`. An IPv6 address is in brackets, and commas separate several servers. The address
    /// may omit the tube if the table names it.
    fn read(&self, address: &Address<'_>) -> Result<Vec<(&'static str, OsString)>, String> {
        let rest = address.text()?.strip_prefix("//").ok_or("expected two slashes after `beanstalkd:`")?;
        // A tube has no `@`, so this one belongs to a user, whose password may contain slashes.
        if rest.contains('@') {
            return Err("beanstalkd has no users: remove the part before the `@`".to_owned());
        }
        let (server, tube) = rest.split_once('/').unwrap_or((rest, ""));
        let mut said = match server.split_once(',') {
            None => {
                let (host, port) = host_and_port(server)?;
                vec![("host", host.into()), ("port", port.into())]
            }
            Some(_) => {
                let servers = servers(server, DEFAULT_PORT)?;
                vec![("host", servers.join(",").into()), ("port", DEFAULT_PORT.into())]
            }
        };
        if !tube.is_empty() {
            if tube.contains(',') {
                return Err("expected one tube, after the last of the servers: `beanstalkd://a,b/tube`".to_owned());
            }
            if let Some(problem) = queue_name_problem(tube) {
                return Err(format!("what comes after the host cannot be the name of a tube: {problem}"));
            }
            said.push(("default_tube", tube.into()));
        }
        Ok(said)
    }

    fn write(&self, settings: &Settings) -> OsString {
        let (host, port, tube) = (settings.text("host"), settings.whole("port"), settings.text("default_tube"));
        if host.contains(',') {
            return format!("//{host}/{tube}").into();
        }
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        format!("//{host}:{port}/{tube}").into()
    }

    fn default_queue<'a>(&self, settings: &'a Settings) -> &'a str {
        settings.text("default_tube")
    }

    fn queue_noun(&self) -> &'static str {
        "tube"
    }

    fn queue_name_problem(&self, name: &str) -> Option<&'static str> {
        queue_name_problem(name)
    }

    /// Returns the capabilities. Nothing is created at a server before there is a message, so the purpose does not
    /// matter.
    fn capabilities(&self, settings: &Settings) -> Option<Capabilities> {
        let total_order = !settings.text("host").contains(',');
        Some(Capabilities { total_order, ..super::capabilities() })
    }

    /// Asks several servers for their identity, since only they know whether two names mean one.
    fn problem_at_servers(&self, settings: &Settings) -> Option<String> {
        if !settings.text("host").contains(',') {
            return None;
        }
        several(settings, &(Arc::new(SystemClock::new()) as Arc<dyn Clock>)).ok()?.conflict(CHECK_PATIENCE)
    }

    fn open(
        &self,
        settings: &Settings,
        _: Purpose,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<dyn QueueAdapter>, QueueError> {
        if settings.text("host").contains(',') {
            return Ok(Arc::new(several(settings, &clock)?));
        }
        let port = settings.whole("port").to_string();
        Ok(Arc::new(queue(settings, settings.text("host"), &port, &clock)))
    }
}

/// Creates the queue at one server.
fn queue(settings: &Settings, host: &str, port: &str, clock: &Arc<dyn Clock>) -> BeanstalkdQueue {
    let options = BeanstalkdOptions::new(host)
        .port(port.parse().expect("the key has the range of a port"))
        .socket_timeout(settings.duration("socket_timeout"))
        .reserve_timeout(settings.duration("reserve_timeout"));
    BeanstalkdQueue::new(options, clock.clone())
}

/// Creates the queue at several servers.
fn several(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Several, QueueError> {
    let (hosts, port) = (settings.text("host"), settings.whole("port").to_string());
    let refused =
        |problem: String| QueueError::Rejected { doing: format!("use the servers {hosts}"), source: problem.into() };
    let mut all: Vec<(String, Arc<dyn QueueAdapter>, Identify)> = Vec::new();
    for server in servers(hosts, &port).map_err(refused)? {
        let (host, port) = host_and_port(&server).map_err(refused)?;
        let queue = queue(settings, host, port, clock);
        let identify: Identify = {
            let queue = queue.clone();
            Arc::new(move || queue.shared().identity())
        };
        all.push((server, Arc::new(queue), identify));
    }
    Ok(Several::identified(all))
}

/// Parses `HOST[:PORT],HOST[:PORT]` and returns each server as `HOST:PORT`, which is its name. Different spellings of
/// the same name or address are one server.
fn servers(text: &str, port: &str) -> Result<Vec<String>, String> {
    let mut all: Vec<String> = Vec::new();
    for server in text.split(',') {
        let (host, its_port) = host_and_port(server)?;
        let names_port = server.rsplit_once(']').map_or(server, |(_, rest)| rest).contains(':');
        let its_port = if names_port { its_port } else { port };
        let host = match host.parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) if host.contains(':') => format!("[{host}]"),
            Err(_) => host.to_ascii_lowercase(),
        };
        let name = format!("{host}:{}", its_port.trim_start_matches('0'));
        if all.contains(&name) {
            return Err("one of the servers is named twice".to_owned());
        }
        all.push(name);
    }
    Ok(all)
}

/// Parses `HOST[:PORT]`.
fn host_and_port(server: &str) -> Result<(&str, &str), String> {
    let (host, port) = match server.strip_prefix('[') {
        Some(address) => {
            let (host, port) = address.split_once(']').ok_or("a bracket is not closed")?;
            if !is_ipv6(host) {
                return Err("expected an IPv6 address in the brackets".to_owned());
            }
            (host, port)
        }
        None => server.split_at(server.find(':').unwrap_or(server.len())),
    };
    if port.matches(':').count() > 1 {
        return Err("put an IPv6 address in brackets: `beanstalkd://[::1]:11300`".to_owned());
    }
    if let Some(problem) = host_problem(host) {
        return Err(problem.to_owned());
    }
    if port.is_empty() {
        return Ok((host, DEFAULT_PORT));
    }
    let digits = port.strip_prefix(':').filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
    let number = digits.filter(|digits| digits.parse::<u16>().is_ok_and(|number| number > 0));
    Ok((host, number.ok_or("expected a port from 1 to 65535")?))
}

fn check_host(host: &str) -> Result<(), String> {
    let expected = "the name or the address of a host, without port or user";
    if host.contains(',') {
        return servers(host, DEFAULT_PORT)
            .map(drop)
            .map_err(|problem| format!("different servers, with commas ({problem})"));
    }
    if host_problem(host).is_none() { Ok(()) } else { Err(expected.to_owned()) }
}

fn check_tube(tube: &str) -> Result<(), String> {
    queue_name_problem(tube).map_or(Ok(()), |problem| Err(format!("the name of a tube ({problem})")))
}

/// Returns why this cannot be the host of a server: a name, an IPv4 address, or an IPv6 address without brackets. Does
/// not repeat the text, which may contain a secret.
fn host_problem(host: &str) -> Option<&'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if host.is_empty() {
        Some("the host is missing")
    } else if host.chars().all(fits) || is_ipv6(host) {
        None
    } else {
        Some("expected the name or the address of a host")
    }
}

/// Returns whether this is an IPv6 address. A link-local one may have a scope, which is a number or the name of an
/// interface: `fe80::1%br-lan`.
fn is_ipv6(host: &str) -> bool {
    let (address, scope) = host.split_once('%').unwrap_or((host, "0"));
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    address.parse::<Ipv6Addr>().is_ok() && !scope.is_empty() && scope.chars().all(fits)
}
