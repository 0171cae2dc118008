//! sqlx on its own database, beside the embedded queue.
mod queue;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};

#[pulpo::handler("add")]
async fn add(order: queue::Order, shop: pulpo::State<SqlitePool>) -> Result<(), sqlx::Error> {
    sqlx::query(queue::INSERT).bind(order.number).execute(&*shop).await.map(drop)
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let options = SqliteConnectOptions::new().filename(queue::shop()).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal);
    let shop = runtime.block_on(SqlitePool::connect_with(options)).expect("opened");
    runtime.block_on(sqlx::query(queue::CREATE).execute(&shop)).expect("a table");
    queue::work(&runtime, &shop);
    let rows = runtime.block_on(sqlx::query_scalar(queue::COUNT).fetch_one(&shop)).expect("counted");
    let version: String = runtime.block_on(sqlx::query_scalar(queue::VERSION).fetch_one(&shop)).expect("a version");
    queue::report(rows, version.as_str());
}
