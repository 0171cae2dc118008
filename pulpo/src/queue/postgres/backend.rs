//! How a configuration names a database: `postgres://USER@HOST/DATABASE`.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use super::options::check_schema;
use super::publish::queue_name_problem;
use super::{DEFAULT_SCHEMA, PostgresOptions, PostgresQueue};
use crate::clock::Clock;
use crate::queue::backend::{Address, Factory, Key, Migration, Purpose, Registration, Scheme, Settings};
use crate::queue::{QueueAdapter, QueueError};

struct Postgres;

inventory::submit! { Registration::new(&Postgres, file!(), line!()) }

/// The keys of the configuration table that may also be parameters of the URL.
const PARAMETERS: [&str; 5] = ["schema", "notify", "migrate", "statement_timeout", "enable_archive"];

impl Factory for Postgres {
    fn schemes(&self) -> &'static [Scheme] {
        const { &[Scheme::new("postgres", "postgres://USER@HOST/DATABASE"), Scheme::new("postgresql", "")] }
    }

    fn table(&self) -> &'static str {
        "postgres_queue_adapter"
    }

    fn keys(&self) -> &'static [Key] {
        const {
            &[
                Key::text(
                    "url",
                    "postgres://localhost",
                    "the URL of the database; the password may come from PGPASSWORD instead",
                )
                .check(check_url),
                Key::text("schema", DEFAULT_SCHEMA, "the schema of the queue's tables, created if it is missing")
                    .check(check_schema),
                Key::flag(
                    "notify",
                    "true",
                    "notify workers of publications at once; turn it off behind a transaction pooler",
                ),
                Key::choice(
                    "migrate",
                    "auto",
                    &["auto", "never"],
                    "whether the queue creates and changes its tables; `never` leaves that to the command `migrate`",
                ),
                Key::duration(
                    "statement_timeout",
                    "10s",
                    Duration::from_millis(1)..=Duration::from_secs(86_400),
                    "the longest time that any statement may take; at least 1ms",
                ),
                Key::flag("enable_archive", "false", "keep done messages in the table `archive`"),
            ]
        }
    }

    /// Reads `//USER@HOST/DATABASE`. Parameters that are keys of the table set
    /// these keys; the others go to the database.
    fn read(&self, address: &Address<'_>) -> Result<Vec<(&'static str, OsString)>, String> {
        let rest = address.text()?;
        if !rest.starts_with("//") {
            return Err("expected two slashes after `postgres:`".to_owned());
        }
        let (base, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (mut said, mut others) = (Vec::new(), Vec::new());
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match PARAMETERS.iter().find(|known| **known == key) {
                Some(known) => said.push((*known, OsString::from(value))),
                None => others.push(parameter),
            }
        }
        let mark = if others.is_empty() { "" } else { "?" };
        let url = format!("postgres:{base}{mark}{}", others.join("&"));
        url.parse::<PostgresOptions>().map_err(|error| error.problem().to_owned())?;
        said.push(("url", url.into()));
        Ok(said)
    }

    fn write(&self, settings: &Settings) -> OsString {
        match options(settings) {
            Ok(options) => options.address().into(),
            Err(_) => "//".into(),
        }
    }

    fn queue_name_problem(&self, name: &str) -> Option<&'static str> {
        queue_name_problem(name)
    }

    fn migrate(&self, settings: &Settings, print: bool) -> Result<Migration, QueueError> {
        let options = known(settings)?;
        if print {
            return Ok(Migration::Statements(super::migration_sql(&options)));
        }
        let made = super::migrate(&options)?;
        Ok(Migration::Made(made.into_iter().map(|version| format!("version {version} of the tables")).collect()))
    }

    fn open(
        &self,
        settings: &Settings,
        purpose: Purpose,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<dyn QueueAdapter>, QueueError> {
        let options = known(settings)?;
        Ok(Arc::new(match purpose {
            Purpose::Administration => PostgresQueue::connect_existing(options, clock)?,
            Purpose::Publication => PostgresQueue::connect(options, clock)?,
            // A worker waits for a server that is down.
            Purpose::Program => PostgresQueue::open(options, clock)?,
        }))
    }
}

fn known(settings: &Settings) -> Result<PostgresOptions, QueueError> {
    let place = || "the `url` of [postgres_queue_adapter]".to_owned();
    options(settings).map_err(|found| QueueError::NotAQueue { place: place(), found })
}

fn check_url(url: &str) -> Result<(), String> {
    let expected = |_| "a URL such as postgres://USER@HOST/DATABASE".to_owned();
    url.parse::<PostgresOptions>().map(drop).map_err(expected)
}

fn options(settings: &Settings) -> Result<PostgresOptions, String> {
    let options: PostgresOptions = settings.text("url").parse().map_err(|error| format!("{error}"))?;
    let migrate = settings.text("migrate").parse()?;
    Ok(options
        .schema(settings.text("schema"))
        .notify(settings.flag("notify"))
        .migrate(migrate)
        .statement_timeout(settings.duration("statement_timeout"))
        .enable_archive(settings.flag("enable_archive")))
}
