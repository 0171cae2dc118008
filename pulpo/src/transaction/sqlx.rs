//! Connections of sqlx, in two of its versions.
//!
//! Only sqlx's traits are used: its drivers link SQLite, each in one version, and a program may link only one. So pulpo
//! depends on no driver, and uses the program's.

use super::{AsyncSqlClient, BoxError, Dialect};

/// sqlx 0.8.
#[cfg(feature = "sqlx-08")]
#[doc(hidden)]
#[derive(Debug)]
pub struct Sqlx08;

/// sqlx 0.9.
#[cfg(feature = "sqlx-09")]
#[doc(hidden)]
#[derive(Debug)]
pub struct Sqlx09;

macro_rules! client {
    ($sqlx:ident, $client:ident, where $($bound:tt)*) => {
        impl<C> AsyncSqlClient<$client> for C
        where
            C: $sqlx::Connection,
            for<'c> &'c mut C: $sqlx::Executor<'c, Database = C::Database>,
            for<'q> String: $sqlx::Encode<'q, C::Database> + $sqlx::Decode<'q, C::Database> + $sqlx::Type<C::Database>,
            for<'q> i64: $sqlx::Decode<'q, C::Database> + $sqlx::Type<C::Database>,
            usize: $sqlx::ColumnIndex<<C::Database as $sqlx::Database>::Row>,
            $($bound)*
        {
            fn dialect(&self) -> Result<Dialect, BoxError> {
                dialect(<C::Database as $sqlx::Database>::NAME)
            }

            async fn insert(&mut self, sql: &'static str, text: String) -> Result<i64, BoxError> {
                let query = $sqlx::query_scalar::<C::Database, i64>(sql).bind(text);
                Ok(query.fetch_one(&mut *self).await?)
            }

            async fn answer(&mut self, sql: &'static str, text: String) -> Result<String, BoxError> {
                let query = $sqlx::query_scalar::<C::Database, String>(sql).bind(text);
                Ok(query.fetch_one(&mut *self).await?)
            }

            async fn execute(&mut self, sql: &'static str) -> Result<(), BoxError> {
                $sqlx::query::<C::Database>(sql).execute(&mut *self).await?;
                Ok(())
            }

            async fn ask(&mut self, sql: &'static str) -> Result<Option<String>, BoxError> {
                Ok($sqlx::query_scalar::<C::Database, String>(sql).fetch_optional(&mut *self).await?)
            }
        }
    };
}

#[cfg(feature = "sqlx-08")]
client!(sqlx_08, Sqlx08, where
    for<'q> <C::Database as sqlx_08::Database>::Arguments<'q>: sqlx_08::IntoArguments<'q, C::Database>);
#[cfg(feature = "sqlx-09")]
client!(sqlx_09, Sqlx09, where
    <C::Database as sqlx_09::Database>::Arguments: sqlx_09::IntoArguments<C::Database>);

fn dialect(name: &str) -> Result<Dialect, BoxError> {
    match name {
        "SQLite" => Ok(Dialect::Sqlite),
        "PostgreSQL" => Ok(Dialect::Postgres),
        other => Err(format!("expected a connection to SQLite or PostgreSQL, got one to {other}").into()),
    }
}
