//! How the values of single keys are read that are of no general kind.

use std::path::Path;

use super::backend::Backend;
use super::error::ConfigError;
use super::layer::Entry;
use super::value::absolute;
use crate::outbox::{self, OutboxUrl, ParseOutboxUrlError};
use crate::policy::Rate;
use crate::worker::Secret;

pub(super) fn rate(entry: &Entry) -> Result<Rate, ConfigError> {
    entry.text()?.parse().map_err(|_| {
        entry.refuse("a rate such as \"10/1s\", at most ten starts in a second, in a period from 1ms to some 136 years")
    })
}

/// Parses a list of database URLs.
pub(super) fn outboxes(entry: &Entry) -> Result<Vec<OutboxUrl>, ConfigError> {
    let mut texts: Vec<String> = Vec::new();
    for name in entry.names()? {
        // The hosts of a cluster are separated by commas too.
        let is_url = ["sqlite:", "postgres:", "postgresql:"].iter().any(|scheme| name.starts_with(scheme));
        match texts.last_mut() {
            Some(last) if !is_url && last.starts_with("postgres") => *last = format!("{last},{name}"),
            _ => texts.push(name),
        }
    }
    let read = |text: String| {
        let url: OutboxUrl = text.parse().map_err(|refused: ParseOutboxUrlError| entry.refuse(refused.expected()))?;
        if let Some(problem) = outbox::unsupported(&url) {
            return Err(entry.refuse(format!("another database ({problem})")));
        }
        Ok(match url.file() {
            Some(file) => OutboxUrl::with_file(absolute(file)?),
            None => url,
        })
    };
    texts.into_iter().map(read).collect()
}

pub(super) fn spool(entry: &Entry) -> Result<Backend, ConfigError> {
    let spool = Backend::of_entry(entry)?;
    let is_one = spool.spool_folder().is_some();
    if is_one { Ok(spool) } else { Err(entry.refuse("an embedded queue of this machine such as file:./pulpo-spool")) }
}

pub(super) fn schedule_store(entry: &Entry) -> Result<Option<Backend>, ConfigError> {
    let expected = "a folder such as file:./pulpo-schedules";
    let mut store: Backend = entry.text()?.parse().map_err(|_| entry.refuse(expected))?;
    if store.scheme() != "file" || store.setting("base_path").is_none() {
        return Err(entry.refuse(expected));
    }
    store.make_absolute()?;
    Ok(Some(store))
}

pub(super) fn dashboard_hosts(entry: &Entry) -> Result<Vec<String>, ConfigError> {
    let hosts = entry.names()?;
    let expected = "names or addresses without a scheme, a port, brackets or a star, such as `jobs.example.com`";
    match hosts.iter().find(|host| !is_host(host)) {
        Some(wrong) => Err(entry.refuse(format!("{expected} (not {wrong:?})"))),
        None => Ok(hosts),
    }
}

/// Returns whether this is a host as the header of a request names it, without its port.
fn is_host(host: &str) -> bool {
    let is_name = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    is_name || host.parse::<std::net::IpAddr>().is_ok()
}

/// Reads a path, and returns it without a slash at its end.
pub(super) fn dashboard_path(entry: &Entry) -> Result<String, ConfigError> {
    let path = entry.text()?;
    if is_path(&path) {
        return Ok(path.trim_end_matches('/').to_owned());
    }
    Err(entry.refuse("a path that begins with a slash, without a host, `..`, `?` or `#`, such as `/ops/jobs`"))
}

/// Returns whether this is the path of an address, with other characters as `%20`.
fn is_path(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/%@:+,=".contains(&byte);
    path.starts_with('/')
        && path.bytes().all(is_plain)
        && !path.contains("//")
        && !path.split('/').any(|part| part == "." || part == "..")
}

pub(super) fn dashboard_token(entry: &Entry) -> Result<Secret, ConfigError> {
    let expected = "a token in quotes, of 8 to 300 printable ASCII characters without spaces at its ends, such as 32 \
                    random letters";
    match entry.text() {
        Ok(token) if is_token(&token) => Ok(token.as_str().into()),
        Err(error @ ConfigError::NotText { .. }) => Err(error),
        // No error shows a token.
        _ => Err(entry.refuse_as(expected, "another value".to_owned())),
    }
}

/// Returns whether a header and a form can carry this token, and whether it is long enough to be hard to guess.
fn is_token(token: &str) -> bool {
    let is_printable = token.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    (8..=300).contains(&token.len()) && is_printable && token.trim() == token
}

pub(super) fn font(entry: &Entry) -> Result<String, ConfigError> {
    let mut font = entry.text()?;
    let is_file = Path::new(&font).extension().is_some_and(|extension| extension == "flf");
    if is_file && let Some(file) = absolute(Path::new(&font))?.to_str() {
        font = file.to_owned();
    }
    // A build without a banner does not know the fonts.
    #[cfg(feature = "cli")]
    crate::banner::check(&font).map_err(|expected| entry.refuse(expected))?;
    Ok(font)
}
