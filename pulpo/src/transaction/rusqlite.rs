//! Connections and transactions of rusqlite.

use rusqlite::{Connection, OptionalExtension as _, Savepoint, Transaction};

use super::{BoxError, Dialect, SqlClient};

macro_rules! clients {
    ($($client:ty),*) => {
        $(impl SqlClient for $client {
            fn dialect(&self) -> Dialect {
                Dialect::Sqlite
            }

            fn insert(&mut self, sql: &'static str, text: &str) -> Result<i64, BoxError> {
                let connection: &Connection = self;
                Ok(connection.query_row(sql, [text], |row| row.get(0))?)
            }

            fn answer(&mut self, sql: &'static str, text: &str) -> Result<String, BoxError> {
                let connection: &Connection = self;
                Ok(connection.query_row(sql, [text], |row| row.get(0))?)
            }

            fn execute(&mut self, sql: &'static str) -> Result<(), BoxError> {
                let connection: &Connection = self;
                Ok(connection.execute_batch(sql)?)
            }

            fn ask(&mut self, sql: &'static str) -> Result<Option<String>, BoxError> {
                let connection: &Connection = self;
                Ok(connection.query_row(sql, [], |row| row.get(0)).optional()?)
            }
        })*
    };
}

// A transaction derefs to its connection, and rusqlite takes shared references.
clients!(Connection, &Connection, Transaction<'_>, &Transaction<'_>, Savepoint<'_>, &Savepoint<'_>);
