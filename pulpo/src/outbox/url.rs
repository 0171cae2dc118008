//! The location of an outbox, as the configuration names it: `sqlite:shop.db`, `postgres://shop@host/shop`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::transaction::Dialect;

/// The database that an outbox is in.
///
/// ```
/// use pulpo::outbox::{Dialect, OutboxUrl};
///
/// let url: OutboxUrl = "sqlite:shop.db".parse()?;
/// assert_eq!(url.dialect(), Dialect::Sqlite);
/// assert_eq!("postgres://me:secret@host/shop".parse::<OutboxUrl>()?.to_string(), "postgres://***@host/shop");
/// # Ok::<(), pulpo::outbox::ParseOutboxUrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct OutboxUrl(Database);

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Database {
    Sqlite(PathBuf),
    /// May contain a password.
    Postgres(String),
}

impl OutboxUrl {
    /// Returns its SQL dialect.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        match &self.0 {
            Database::Sqlite(_) => Dialect::Sqlite,
            Database::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Returns the file of an SQLite database.
    #[must_use]
    pub const fn file(&self) -> Option<&PathBuf> {
        match &self.0 {
            Database::Sqlite(file) => Some(file),
            Database::Postgres(_) => None,
        }
    }

    /// Replaces the file of an SQLite database.
    pub(crate) fn with_file(file: PathBuf) -> Self {
        Self(Database::Sqlite(file))
    }

    pub(super) const fn database(&self) -> &Database {
        &self.0
    }
}

impl FromStr for OutboxUrl {
    type Err = ParseOutboxUrlError;

    fn from_str(text: &str) -> Result<Self, ParseOutboxUrlError> {
        let refused = |expected| Err(ParseOutboxUrlError { expected });
        let text = text.trim();
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self(Database::Postgres(text.to_owned())));
        }
        let Some(file) = text.strip_prefix("sqlite:") else {
            return refused("sqlite:FILE or postgres://USER@HOST/DATABASE");
        };
        // As in sqlx: two slashes before a relative path, three before an absolute one, and options after a question
        // mark.
        let file = file.strip_prefix("//").unwrap_or(file);
        let file = file.split_once('?').map_or(file, |(file, _)| file);
        if file.is_empty() {
            return refused("a file after `sqlite:`");
        }
        if file == ":memory:" {
            return refused("a file after `sqlite:`, since a database in memory belongs to one connection");
        }
        Ok(Self(Database::Sqlite(PathBuf::from(file))))
    }
}

impl fmt::Display for OutboxUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Database::Sqlite(file) => write!(f, "sqlite:{}", file.display()),
            Database::Postgres(url) => {
                let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
                let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("***@", rest));
                let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
                write!(f, "{scheme}://{user}{rest}")
            }
        }
    }
}

/// Leaves out the user and the password.
impl fmt::Debug for OutboxUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutboxUrl({self})")
    }
}

/// The error of a string that does not name a database. It does not repeat the string, which may contain a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct ParseOutboxUrlError {
    expected: &'static str,
}

impl ParseOutboxUrlError {
    /// Returns what was expected.
    pub(crate) const fn expected(&self) -> &'static str {
        self.expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_sqlx_writes_it() {
        for (text, file) in [
            ("sqlite:shop.db", "shop.db"),
            ("sqlite://shop.db", "shop.db"),
            ("sqlite:///var/shop.db?mode=rwc", "/var/shop.db"),
            ("sqlite:/var/shop.db", "/var/shop.db"),
        ] {
            assert_eq!(text.parse::<OutboxUrl>().expect("a file").file().expect("a file"), &PathBuf::from(file));
        }
    }

    #[test]
    fn a_url_without_a_database_is_refused_without_being_repeated() {
        for text in ["shop.db", "mysql://me:secret@host/shop", "sqlite:", "sqlite::memory:", "sqlite://?mode=rwc", ""] {
            let refused = text.parse::<OutboxUrl>().expect_err(text).to_string();
            assert!(!refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        let url: OutboxUrl = "postgresql://me:se/cr@et@host:5432/shop?password=secret".parse().expect("a URL");
        assert_eq!(
            format!("{url} {url:?}"),
            "postgresql://***@host:5432/shop OutboxUrl(postgresql://***@host:5432/shop)"
        );
    }
}
