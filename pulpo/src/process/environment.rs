//! The environment variables that are called `PULPO_…`: those of the configuration, and those that only look like it.
//!
//! The environment is set by whoever runs the program, and also by Kubernetes and Docker: next to a service called
//! `pulpo`, each container gets `PULPO_SERVICE_HOST` and more. So an unknown variable is never an error.

use std::ffi::OsString;
use std::net::IpAddr;

const PREFIX: &str = "PULPO_";

/// Variables of our own tests, documented there.
const OF_TESTS: [&str; 5] = [
    "PULPO_BLESS",
    "PULPO_HOSTILE_SECONDS",
    "PULPO_MEASURE_SECONDS",
    "PULPO_SCHEDULE_SECONDS",
    "PULPO_TORTURE_SECONDS",
];

/// A variable called `PULPO_…`.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    /// The whole name; parts that are not Unicode are replaced.
    pub(crate) name: String,
    pub(crate) value: OsString,
}

/// Returns the variables that are called `PULPO_…` and are not empty: an empty one counts as unset.
pub(crate) fn ours(variables: impl IntoIterator<Item = (OsString, OsString)>) -> impl Iterator<Item = Variable> {
    let all = variables.into_iter().map(|(name, value)| (name.to_string_lossy().into_owned(), value));
    let said = all.filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty());
    said.map(|(name, value)| Variable { name, value })
}

/// Returns the variable of a key that is written with dots.
pub(crate) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

impl Variable {
    /// Returns the key that it would set, with dots.
    pub(crate) fn key(&self) -> String {
        self.name.strip_prefix(PREFIX).unwrap_or(&self.name).to_lowercase().replace("__", ".")
    }

    /// Returns whether it is meant for something else, and so is not a misspelt key.
    pub(crate) fn is_foreign(&self) -> bool {
        OF_TESTS.contains(&&*self.name) || self.is_injected()
    }

    /// Returns whether Kubernetes sets it for a service, or Docker for a link, called `pulpo` or `pulpo-…`. The value
    /// counts too: a port that a person wrote is a number, but theirs is an address.
    fn is_injected(&self) -> bool {
        let rest = self.name.strip_prefix(PREFIX).unwrap_or_default();
        let value = self.value.to_str().unwrap_or_default();
        let is_link = |word, fits: fn(&str, &str) -> bool| after(rest, word).any(|tail| fits(tail, value));
        is_link("ENV_", |copied, _| !copied.is_empty())
            || is_link("NAME", |tail, value| {
                tail.is_empty() && value.matches('/').count() == 2 && value.starts_with('/')
            })
            || is_link("SERVICE_HOST", |tail, value| tail.is_empty() && is_address(value))
            || is_link("SERVICE_PORT", |tail, value| (tail.is_empty() || tail.starts_with('_')) && is_number(value))
            || is_link("PORT", is_of_a_port)
    }
}

/// Returns the rest after each occurrence of the word at the beginning of the text or after an underscore.
fn after<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    let found = text.match_indices(word).filter(|(at, _)| *at == 0 || text[..*at].ends_with('_'));
    found.map(|(at, _)| &text[at + word.len()..])
}

/// Returns whether `…_PORT` continues as in `_PORT`, `_PORT_80_TCP`, `_PORT_80_TCP_ADDR`.
fn is_of_a_port(rest: &str, value: &str) -> bool {
    let Some(rest) = rest.strip_prefix('_') else { return rest.is_empty() && is_endpoint(value) };
    let mut parts = rest.splitn(3, '_');
    let (number, protocol, what) = (parts.next(), parts.next(), parts.next());
    if !number.is_some_and(is_number) || !protocol.is_some_and(is_protocol) {
        return false;
    }
    match what {
        None | Some("START" | "END") => is_endpoint(value),
        Some("ADDR") => is_address(value),
        Some("PORT" | "PORT_START" | "PORT_END") => is_number(value),
        Some("PROTO") => is_protocol(value),
        Some(_) => false,
    }
}

fn is_protocol(text: &str) -> bool {
    ["tcp", "udp", "sctp"].iter().any(|protocol| text.eq_ignore_ascii_case(protocol))
}

fn is_endpoint(text: &str) -> bool {
    text.split_once("://").is_some_and(|(protocol, _)| is_protocol(protocol))
}

fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

fn is_number(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_foreign(name: &str, value: &str) -> bool {
        Variable { name: name.to_owned(), value: value.into() }.is_foreign()
    }

    #[test]
    fn variables_that_kubernetes_sets_for_a_service_are_foreign() {
        for service in ["PULPO", "PULPO_QUEUE", "PULPO_QUEUES", "PULPO_HANDLERS__MAIL", "PULPO_PORT", "PULPO_SERVICE"] {
            for (name, value) in [
                ("SERVICE_HOST", "10.96.0.7"),
                ("SERVICE_HOST", "fd00::7"),
                ("SERVICE_PORT", "8080"),
                ("SERVICE_PORT_HTTP", "8080"),
                ("SERVICE_PORT_HTTP_ALT", "8080"),
                ("PORT", "tcp://10.96.0.7:8080"),
                ("PORT", "udp://[fd00::7]:53"),
                ("PORT_8080_TCP", "tcp://10.96.0.7:8080"),
                ("PORT_8080_TCP_PROTO", "tcp"),
                ("PORT_8080_TCP_PORT", "8080"),
                ("PORT_8080_TCP_ADDR", "10.96.0.7"),
                ("PORT_53_UDP_ADDR", "10.96.0.7"),
                ("PORT_99_SCTP", "sctp://10.96.0.7:99"),
            ] {
                assert!(is_foreign(&format!("{service}_{name}"), value), "{service}_{name}={value}");
            }
        }
    }

    #[test]
    fn variables_that_docker_sets_for_a_link_are_foreign() {
        for (name, value) in [
            ("PULPO_NAME", "/web/pulpo"),
            ("PULPO_DB_NAME", "/web/pulpo_db"),
            ("PULPO_ENV_PATH", "/usr/bin"),
            ("PULPO_DB_ENV_lower", "x"),
            ("PULPO_PORT", "tcp://172.17.0.5:5432"),
            ("PULPO_PORT_5432_TCP_START", "tcp://172.17.0.5:5432"),
            ("PULPO_PORT_5432_TCP_PORT_END", "5433"),
        ] {
            assert!(is_foreign(name, value), "{name}={value}");
        }
    }

    #[test]
    fn a_misspelt_key_is_not_foreign() {
        for (name, value) in [
            // One underscore instead of two.
            ("PULPO_BEANSTALKD_QUEUE_ADAPTER_PORT", "11301"),
            ("PULPO_BEANSTALKD_QUEUE_ADAPTER_HOST", "10.0.0.1"),
            ("PULPO_PORT", "11300"),
            ("PULPO_BANER_NAME", "shop"),
            ("PULPO_SERVICE_HOST", "shop"),
            ("PULPO_SERVICE_PORTS", "1"),
            ("PULPO_PORT_X_TCP", "tcp://10.0.0.1:1"),
            ("PULPO_REPORT", "tcp://10.0.0.1:1"),
            ("PULPO_ENV", "production"),
            ("PULPO_SLEEP_DURATON", "1"),
        ] {
            assert!(!is_foreign(name, value), "{name}={value}");
        }
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let variables = [("PULPO_QUEUE", ""), ("PULPO_LISTEN", "x"), ("PATH", "y")];
        let names: Vec<_> =
            ours(variables.map(|(name, value)| (name.into(), value.into()))).map(|it| it.name).collect();
        assert_eq!(names, ["PULPO_LISTEN"]);
    }
}
