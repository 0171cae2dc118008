//! The address of the database and the settings of the queue.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::tls::Tls;

/// The default schema.
pub const DEFAULT_SCHEMA: &str = "pulpo";

/// The default time limit of a statement.
const DEFAULT_STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// When the tables of the queue are created and migrated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Migrate {
    /// At the first connection.
    #[default]
    Auto,
    /// Only by the command `migrate`: for roles that may not create tables.
    Never,
}

impl FromStr for Migrate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "never" => Ok(Self::Never),
            _ => Err(format!("expected auto or never, got {text:?}")),
        }
    }
}

/// The address of the database and the settings of the queue.
///
/// Parse it from a URL as other PostgreSQL programs take it, with the settings of
/// the queue among its parameters:
///
/// ```
/// use pulpo::queue::postgres::PostgresOptions;
///
/// let options: PostgresOptions = "postgres://shop@db.internal/shop?schema=jobs&statement_timeout=5s".parse()?;
/// assert_eq!(options.schema, "jobs");
/// assert_eq!(options.place(), "PostgreSQL at db.internal:5432/shop, schema jobs");
/// # Ok::<(), pulpo::queue::postgres::PostgresUrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresOptions {
    /// Host, user and so on. Private, since it may contain a password.
    pub(super) config: Config,
    pub(super) tls: Tls,
    /// The schema of the queue's tables: `pulpo` by default. It is created if it
    /// does not exist.
    pub schema: String,
    /// Whether workers learn of publications by `LISTEN` and `NOTIFY`: on by
    /// default. Switch it off behind a pooler that assigns a connection per
    /// transaction. The queue then keeps no state in a session, and workers poll
    /// every one to two seconds.
    pub notify: bool,
    /// When the tables of the queue are created and migrated.
    pub migrate: Migrate,
    /// The time limit of each statement, after which it ends with an error: ten
    /// seconds by default, at least one millisecond.
    pub statement_timeout: Duration,
    /// Whether done messages are kept, in the table `archive`.
    pub enable_archive: bool,
}

/// The error of parsing a URL. It never repeats the URL, which may contain a
/// password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected postgres://USER@HOST/DATABASE, with parameters after a question mark, separated by &: {0}")]
pub struct PostgresUrlError(String);

impl PostgresUrlError {
    /// Returns the text of the error without the URL.
    pub(super) fn problem(&self) -> &str {
        &self.0
    }
}

impl PostgresOptions {
    /// Returns a description of the database for people, without user and password.
    #[must_use]
    pub fn place(&self) -> String {
        format!("PostgreSQL at {}, schema {}", self.hosts_and_database(), self.schema)
    }

    /// Returns the URL after its scheme and colon, without the password.
    pub(super) fn address(&self) -> String {
        let user = self.config.get_user().map(|user| format!("{user}@")).unwrap_or_default();
        let mut address = format!("//{user}{}?schema={}", self.hosts_and_database(), self.schema);
        if !self.notify {
            address.push_str("&notify=false");
        }
        address.push_str(&self.tls.parameters());
        address
    }

    fn hosts_and_database(&self) -> String {
        let ports = self.config.get_ports();
        let hosts = self.config.get_hosts().iter().enumerate().map(|(place, host)| {
            let port = ports.get(place).or_else(|| ports.first()).copied().unwrap_or(5432);
            match host {
                Host::Tcp(name) if name.contains(':') => format!("[{name}]:{port}"),
                Host::Tcp(name) => format!("{name}:{port}"),
                #[cfg(unix)]
                Host::Unix(path) => format!("{}:{port}", path.display()),
            }
        });
        let hosts = hosts.collect::<Vec<_>>().join(",");
        format!("{hosts}/{}", self.database())
    }

    /// Sets one of the queue's own settings; `None` if there is no such setting.
    ///
    /// # Errors
    /// If the value is not valid: what was expected.
    pub fn set(&mut self, key: &str, value: &str) -> Option<Result<(), String>> {
        let done = match key {
            "schema" => check_schema(value)
                .map(|()| value.clone_into(&mut self.schema))
                .map_err(|expected| format!("expected {expected}, got {value:?}")),
            "notify" => flag(value).map(|on| self.notify = on),
            "migrate" => value.parse().map(|migrate| self.migrate = migrate),
            "enable_archive" => flag(value).map(|on| self.enable_archive = on),
            "statement_timeout" => timeout(value).map(|timeout| self.statement_timeout = timeout),
            _ => return None,
        };
        Some(done.map_err(|problem| format!("`{key}`: {problem}")))
    }

    /// See [`PostgresOptions::schema`](#structfield.schema).
    #[must_use]
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = schema.into();
        self
    }

    /// See [`PostgresOptions::notify`](#structfield.notify).
    #[must_use]
    pub fn notify(mut self, notify: bool) -> Self {
        self.notify = notify;
        self
    }

    /// See [`PostgresOptions::migrate`](#structfield.migrate).
    #[must_use]
    pub fn migrate(mut self, migrate: Migrate) -> Self {
        self.migrate = migrate;
        self
    }

    /// See [`PostgresOptions::statement_timeout`](#structfield.statement_timeout).
    #[must_use]
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// See [`PostgresOptions::enable_archive`](#structfield.enable_archive).
    #[must_use]
    pub fn enable_archive(mut self, enable: bool) -> Self {
        self.enable_archive = enable;
        self
    }

    /// Returns the name of the database: by default that of the user.
    pub(super) fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_else(|| self.config.get_user().unwrap_or_default())
    }

    /// Returns the channel for notifications of publications.
    pub(super) fn channel(&self) -> String {
        format!("pulpo_{}", self.schema)
    }
}

impl FromStr for PostgresOptions {
    type Err = PostgresUrlError;

    fn from_str(url: &str) -> Result<Self, PostgresUrlError> {
        let problem = |text: String| PostgresUrlError(text);
        let is_ours = url.starts_with("postgres://") || url.starts_with("postgresql://");
        if !is_ours {
            return Err(problem("it begins differently".to_owned()));
        }
        let (tls, url) = Tls::of_url(url).map_err(problem)?;
        let (base, parameters) = url.split_once('?').unwrap_or((&url, ""));
        let mut options = Self {
            config: Config::new(),
            tls,
            schema: DEFAULT_SCHEMA.to_owned(),
            notify: true,
            migrate: Migrate::Auto,
            statement_timeout: DEFAULT_STATEMENT_TIMEOUT,
            enable_archive: false,
        };
        let mut rest = Vec::new();
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match options.set(key, value) {
                Some(set) => set.map_err(problem)?,
                None => rest.push(parameter),
            }
        }
        let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        options.config = url.parse().map_err(|error: tokio_postgres::Error| problem(chain(&error)))?;
        options.config.ssl_mode(options.tls.ssl_mode());
        if options.config.get_options().is_some() {
            return Err(problem("`options`: set them for the role, with ALTER ROLE".to_owned()));
        }
        if options.config.get_hosts().is_empty() {
            return Err(problem("it names no host".to_owned()));
        }
        Ok(options)
    }
}

/// Shows neither user nor password.
impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("place", &self.place())
            .field("notify", &self.notify)
            .field("migrate", &self.migrate)
            .field("statement_timeout", &self.statement_timeout)
            .field("enable_archive", &self.enable_archive)
            .finish_non_exhaustive()
    }
}

/// Checks the name of a schema: safe in SQL between quotes, and short enough for
/// the name of the channel. The error is what was expected.
pub(super) fn check_schema(name: &str) -> Result<(), String> {
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if letters && starts && name.len() <= 57 && !name.to_ascii_lowercase().starts_with("pg_") {
        return Ok(());
    }
    Err("a name of at most 57 letters, digits and underscores, which does not begin with a digit or with pg_"
        .to_owned())
}

fn flag(value: &str) -> Result<bool, String> {
    value.parse().map_err(|_| format!("expected true or false, got {value:?}"))
}

fn timeout(value: &str) -> Result<Duration, String> {
    let seconds = value.parse::<u64>().ok().map(Duration::from_secs);
    let timeout = seconds.or_else(|| humantime::parse_duration(value).ok());
    // PostgreSQL counts milliseconds in 31 bits.
    timeout
        .filter(|timeout| timeout.as_millis() > 0 && timeout.as_millis() <= 2_000_000_000)
        .ok_or_else(|| format!("expected a duration such as 10s, of at least 1ms, got {value:?}"))
}

/// Returns the messages of the client's parser and its causes. None of them
/// repeats the text.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if !text.contains(&cause.to_string()) {
            text = format!("{text}: {cause}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<PostgresOptions, PostgresUrlError> {
        url.parse()
    }

    #[test]
    fn a_url_names_the_database_and_the_queue_in_it() {
        let options = parse("postgresql://shop:hush@db:6432/shop?schema=jobs&notify=false&sslmode=disable").unwrap();
        assert_eq!(options.place(), "PostgreSQL at db:6432/shop, schema jobs");
        assert!(!options.notify);
        let options = parse("postgres://shop@[::1]/?migrate=never&statement_timeout=250ms").unwrap();
        assert_eq!(options.place(), "PostgreSQL at [::1]:5432/shop, schema pulpo");
        assert_eq!((options.migrate, options.statement_timeout), (Migrate::Never, Duration::from_millis(250)));
        assert_eq!(options.channel(), "pulpo_pulpo");
    }

    #[test]
    fn a_password_is_shown_nowhere() {
        let options = parse("postgres://shop:hush@db/shop").unwrap();
        assert!(!format!("{options:?}").contains("hush") && !options.place().contains("hush"));
        for wrong in [
            "postgres://shop:hush@db:notaport/shop",
            "postgres://shop:hush@db/shop?sslmode=hush2",
            "postgres://shop:hush@db/shop?hush=hush",
            "mysql://shop:hush@db/shop",
            "postgres://shop:hush%zz@db/shop",
        ] {
            if let Err(error) = parse(wrong) {
                assert!(!format!("{error} {error:?}").contains("shop:hush"), "{error}");
            }
        }
    }

    #[test]
    fn a_password_with_characters_that_mean_something_in_a_url_is_refused_and_not_taken_for_a_host() {
        for wrong in [
            "hu@hush",
            "hu/hush",
            "hu?hush",
            "hu?hush=1",
            "hu#hush/1",
            "hush@",
            "@hush",
            "hu@hush?a=b@c",
            "a@hush/b",
            "a@hush/b?c",
        ] {
            let error = parse(&format!("postgres://shop:{wrong}@db/shop")).expect_err(wrong);
            let shown = format!("{error} {error:?}");
            assert!(shown.contains("%40") && !shown.contains("hush"), "{wrong}: {shown}");
        }
        let options = parse("postgres://shop:hu%40%2F%3F%23%25%3Ahush@db/shop?application_name=a@b").unwrap();
        assert_eq!(options.config.get_password(), Some("hu@/?#%:hush".as_bytes()));
        assert_eq!(options.place(), "PostgreSQL at db:5432/shop, schema pulpo");
    }

    #[test]
    fn a_faulty_parameter_is_refused() {
        for (url, expected) in [
            ("postgres://db/shop?schema=1st", "`schema`"),
            ("postgres://db/shop?schema=a-b", "`schema`"),
            ("postgres://db/shop?schema=pg_mine", "`schema`"),
            ("postgres://db/shop?notify=perhaps", "`notify`"),
            ("postgres://db/shop?migrate=sometimes", "`migrate`"),
            ("postgres://db/shop?statement_timeout=0", "`statement_timeout`"),
            ("postgres://db/shop?statement_timeout=soon", "`statement_timeout`"),
            ("postgres://db/shop?shema=jobs", "shema"),
            ("postgres://db/shop?sslmode=verify", "`sslmode`"),
            ("postgres:///shop", "no host"),
        ] {
            let error = parse(url).expect_err(url).to_string();
            assert!(error.contains(expected), "{url}: {error}");
        }
    }
}
