//! Creating, recognising and migrating the tables.
//!
//! During a deploy, programs of several versions use one schema. So a migration
//! only adds things that older programs can do without. A migration that must
//! break older programs names the oldest one that can go on, and those before it
//! refuse.

use tokio_postgres::types::Type;

use super::connection::{Connection, Sql};
use super::error::PostgresError;
use super::options::{Migrate, PostgresOptions};

/// The migrations, each from the version before. The number of a version is its
/// place in this list, from 1. Never edit a migration that was released.
const MIGRATIONS: &[Migration] = &[Migration {
    script: concat!(
        include_str!("schema/1.sql"),
        include_str!("schema/1_keys.sql"),
        include_str!("schema/1_publish.sql"),
        include_str!("schema/1_limits.sql"),
    ),
    oldest_program: 1,
}];

struct Migration {
    script: &'static str,
    /// Programs whose newest migration comes before this one cannot use the
    /// result.
    oldest_program: i32,
}

/// The version of this program.
pub(super) const VERSION: i32 = 1;
const _: () = assert!(VERSION as usize == MIGRATIONS.len());

/// The oldest PostgreSQL that the statements work on, as its own version number.
const OLDEST_SERVER: i32 = 130_000;

/// The version of the server, its settings, and which of our tables exist. It reads the tables
/// of the catalog, since the catalog functions may answer from before a lock.
const INSPECT: &str = "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
    current_setting('transaction_isolation'),
    EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1),
    EXISTS (SELECT FROM pg_catalog.pg_class AS class JOIN pg_catalog.pg_namespace AS space
        ON space.oid = class.relnamespace WHERE space.nspname = $1 AND class.relname = 'migration'),
    EXISTS (SELECT FROM pg_catalog.pg_class AS class JOIN pg_catalog.pg_namespace AS space
        ON space.oid = class.relnamespace WHERE space.nspname = $1 AND class.relname = 'message')";

const VERSIONS: Sql = "SELECT coalesce(max(version), 0), coalesce(max(oldest_program), 0) FROM SCHEMA.migration";

/// The statement of the heartbeat returns it too.
pub(super) fn check(oldest_program: i64) -> Result<(), PostgresError> {
    let oldest = i32::try_from(oldest_program).unwrap_or(i32::MAX);
    if oldest <= VERSION { Ok(()) } else { Err(PostgresError::newer(oldest, VERSION)) }
}

/// Whether to create a queue that does not exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Create it, if the options allow that.
    Make,
    /// Fail, because the queue is only to be inspected.
    Refuse,
}

/// Checks that this program can use the schema, and creates or migrates it if the
/// options allow that.
pub(super) fn prepare(
    connection: &mut Connection,
    options: &PostgresOptions,
    missing: Missing,
) -> Result<(), PostgresError> {
    let version = version(connection, options)?;
    match version {
        Found::Nothing if missing == Missing::Refuse => return Err(PostgresError::no_queue()),
        Found::Foreign => return Err(PostgresError::not_a_queue()),
        Found::Version { oldest_program, .. } if oldest_program > VERSION => {
            return Err(PostgresError::newer(oldest_program, VERSION));
        }
        Found::Version { version, .. } if version >= VERSION => return Ok(()),
        _ => {}
    }
    if options.migrate == Migrate::Never {
        let problem = match version {
            Found::Version { version, .. } => {
                format!("its schema has version {version} and this program needs {VERSION}")
            }
            _ => "there are no tables yet".to_owned(),
        };
        let todo = "run the command `migrate`, or set `migrate = \"auto\"`";
        return Err(PostgresError::permanent(format!("{problem}: {todo}")));
    }
    migrate(connection, options).map(drop)
}

/// The state of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    Foreign,
    Version { version: i32, oldest_program: i32 },
}

fn version(connection: &mut Connection, options: &PostgresOptions) -> Result<Found, PostgresError> {
    let rows = connection.run_text(INSPECT, &[(&options.schema, Type::TEXT)])?;
    let row = rows.first().ok_or_else(|| PostgresError::permanent("the server answered with no row"))?;
    let server: i32 = row.try_get(0)?;
    if server < OLDEST_SERVER {
        let major = server / 10_000;
        return Err(PostgresError::permanent(format!("expected PostgreSQL 13 or newer, got {major}")));
    }
    let encoding: String = row.try_get(1)?;
    if encoding != "UTF8" {
        let problem = format!("expected a database with the encoding UTF8, got {encoding}");
        return Err(PostgresError::permanent(problem));
    }
    // Behind a pooler, the session is not ours to set.
    let isolation: String = row.try_get(2)?;
    if isolation != "read committed" {
        return Err(PostgresError::permanent(format!(
            "expected transactions that are read committed, got {isolation}: set `default_transaction_isolation` for the \
             role, with ALTER ROLE"
        )));
    }
    let (ours, taken): (bool, bool) = (row.try_get(4)?, row.try_get(5)?);
    if !ours {
        return Ok(if taken { Found::Foreign } else { Found::Nothing });
    }
    let rows = connection.run_text(VERSIONS, &[])?;
    let row = rows.first().ok_or_else(|| PostgresError::permanent("the server answered with no row"))?;
    Ok(Found::Version { version: row.try_get(0)?, oldest_program: row.try_get(1)? })
}

/// Migrates the schema to the version of this program, and returns the versions
/// that were applied. If several processes try at once, one does it and the
/// others wait.
pub(super) fn migrate(connection: &mut Connection, options: &PostgresOptions) -> Result<Vec<i32>, PostgresError> {
    connection.unlimited();
    // The lock ends with the transaction, so it needs no session.
    connection.run_script(&format!(
        "BEGIN; SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock(hashtextextended('pulpo {}', 0))",
        options.schema
    ))?;
    let migrated = migrate_locked(connection, options);
    let end = if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = connection.run_script(end);
    let versions = migrated?;
    ended.map(|()| versions)
}

fn migrate_locked(connection: &mut Connection, options: &PostgresOptions) -> Result<Vec<i32>, PostgresError> {
    let from = match version(connection, options)? {
        Found::Version { version, .. } => version,
        Found::Nothing | Found::Foreign => 0,
    };
    let schema = format!("\"{}\"", options.schema);
    let there = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1";
    if connection.run_text(there, &[(&options.schema, Type::TEXT)])?.is_empty() {
        connection.run_script(&format!("CREATE SCHEMA {schema}"))?;
    }
    let mut made = Vec::new();
    for (version, migration) in (1..).zip(MIGRATIONS).filter(|(version, _)| *version > from) {
        connection.run_script(&script(migration, options))?;
        connection.run_script(&format!(
            "INSERT INTO SCHEMA.migration(version, oldest_program) VALUES ({version}, {})",
            migration.oldest_program
        ))?;
        made.push(version);
    }
    Ok(made)
}

fn script(migration: &Migration, options: &PostgresOptions) -> String {
    migration.script.replace("CHANNEL", &options.channel())
}

/// Returns the statements of all migrations, to be run by hand on a database
/// without a queue.
pub(super) fn sql(options: &PostgresOptions) -> String {
    let schema = format!("\"{}\"", options.schema);
    let mut sql = format!("BEGIN;\nCREATE SCHEMA IF NOT EXISTS {schema};\n");
    for (version, migration) in (1..).zip(MIGRATIONS) {
        sql.push_str(&script(migration, options).replace("SCHEMA.", &format!("{schema}.")));
        sql.push_str(&format!(
            "INSERT INTO {schema}.migration(version, oldest_program) VALUES ({version}, {});\n",
            migration.oldest_program
        ));
    }
    sql.push_str("COMMIT;\n");
    sql
}
