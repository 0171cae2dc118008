//! Whether the role of this process may do what a worker does, checked before the first job.

use tokio_postgres::types::Type;

use super::connection::Connection;
use super::error::PostgresError;

/// The tables of the queue that a worker reads and writes. It only reads `migration`.
const TABLES: [&str; 16] = [
    "activity",
    "archive",
    "attempt",
    "held_back",
    "message",
    "outbox_id",
    "pause",
    "route",
    "schedule",
    "schedule_pause",
    "started",
    "timed_key",
    "uncounted",
    "worker",
    "worker_report",
    "migration",
];

/// The rights that are missing, one row for each table, sequence and schema, and the name of the role.
const MISSING: &str = "WITH
    space AS (SELECT oid, quote_ident(nspname) AS name FROM pg_catalog.pg_namespace WHERE nspname = $1),
    wanted(kind, place, need) AS (VALUES ('r', 1, 'SELECT'), ('r', 2, 'INSERT'), ('r', 3, 'UPDATE'), ('r', 4, 'DELETE')),
    missing AS (
        SELECT 'USAGE ON SCHEMA ' || name AS words, 0 AS place, '' AS at FROM space
            WHERE NOT has_schema_privilege(oid, 'USAGE')
        UNION ALL
        SELECT string_agg(need, ', ' ORDER BY wanted.place) || ' ON ' || space.name || '.' || class.relname, 1, class.relname
            FROM space JOIN pg_catalog.pg_class AS class ON class.relnamespace = space.oid
                JOIN wanted ON wanted.kind = class.relkind::text
            WHERE class.relname = ANY ($2) AND (class.relname <> 'migration' OR need = 'SELECT')
                AND NOT has_table_privilege(class.oid, need)
            GROUP BY space.name, class.relname
        UNION ALL
        SELECT 'SELECT ON SEQUENCE ' || space.name || '.' || class.relname, 2, class.relname
            FROM space JOIN pg_catalog.pg_class AS class ON class.relnamespace = space.oid AND class.relkind = 'S'
            WHERE class.relname = 'message_id_seq'
                AND NOT has_sequence_privilege(class.oid, 'SELECT'))
    SELECT words, quote_ident(current_user) FROM missing ORDER BY place, at";

/// Fails if the role lacks a right, with the statements that grant it.
pub(super) fn check(connection: &mut Connection, schema: &str) -> Result<(), PostgresError> {
    let tables: Vec<&str> = TABLES.to_vec();
    let rows = connection.run_text(MISSING, &[(&schema, Type::TEXT), (&tables, Type::TEXT_ARRAY)])?;
    let Some(first) = rows.first() else { return Ok(()) };
    let role: String = first.try_get(1)?;
    let mut grants = Vec::new();
    for row in &rows {
        let right: String = row.try_get(0)?;
        grants.push(format!("GRANT {right} TO {role};"));
    }
    Err(PostgresError::permanent(format!(
        "a worker needs rights that the role {role} does not have: run, as a role that may, {}",
        grants.join(" ")
    )))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::TABLES;
    use crate::queue::postgres::{PostgresOptions, migration_sql};

    #[test]
    fn the_rights_on_each_table_are_checked() {
        let options: PostgresOptions = "postgres://localhost".parse().unwrap();
        let sql = migration_sql(&options);
        let made = sql.split("CREATE TABLE \"pulpo\".").skip(1).filter_map(|rest| rest.split(['(', ' ']).next());
        assert_eq!(made.collect::<BTreeSet<_>>(), TABLES.into_iter().collect());
    }
}
