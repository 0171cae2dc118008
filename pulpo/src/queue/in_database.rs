//! A queue in a database in which users have transactions.

use crate::sync::OnceMap;

/// The location of a queue in PostgreSQL, so that a user's transaction in the same database can publish into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InDatabase {
    database: String,
    question: &'static str,
    statement: &'static str,
    telling_statement: &'static str,
}

impl InDatabase {
    /// Creates the location from a schema of a database; the functions are those of the schema.
    #[must_use]
    pub fn new(database: &str, schema: &str) -> Self {
        let (name, literal) = (schema.replace('"', "\"\""), schema.replace('\'', "''"));
        let publishes = format!(
            "FROM (SELECT $1::text::jsonb AS job) AS row, LATERAL \"{name}\".publish_job(job->'header'->>'request_type', \
             job->'body', job->'header', job->>'queue', true, job->>'limit_key') AS published"
        );
        let statement = format!("SELECT published.id {publishes}");
        let telling_statement = format!("SELECT published.id || ' ' || published.publication {publishes}");
        let question = format!(
            "SELECT current_database()::text WHERE EXISTS (SELECT FROM pg_catalog.pg_proc AS proc \
             JOIN pg_catalog.pg_namespace AS schema ON schema.oid = proc.pronamespace \
             WHERE schema.nspname = '{literal}' AND proc.proname = 'publish')"
        );
        Self {
            database: database.to_owned(),
            question: kept(question),
            statement: kept(statement),
            telling_statement: kept(telling_statement),
        }
    }

    /// Returns the statement that publishes the message in the text `$1` and returns its id.
    pub(crate) fn statement(&self) -> &'static str {
        self.statement
    }

    /// Returns the statement that publishes like [`statement`](Self::statement) and returns a text: the id, and the
    /// effect of the publication.
    pub(crate) fn telling_statement(&self) -> &'static str {
        self.telling_statement
    }

    /// Returns the query for the name of the current database, if that has such a queue.
    pub(crate) fn question(&self) -> &'static str {
        self.question
    }

    /// Returns whether a transaction is in the database of the queue, judged by the answer to the query. `is_only`: the
    /// program has no other database to write to.
    pub(crate) fn is_in(&self, answer: Option<&str>, is_only: bool) -> bool {
        answer.is_some_and(|database| is_only || database == self.database)
    }
}

/// Keeps a text for the life of the process, once: database clients hold on to the texts of statements.
fn kept(text: String) -> &'static str {
    static KEPT: OnceMap<String, Box<str>> = OnceMap::new();
    KEPT.get_or_insert_with(text, |text| text.as_str().into())
}
