//! r2d2_sqlite on its own database, beside the embedded queue.
mod queue;

use std::error::Error;

use r2d2_sqlite::SqliteConnectionManager;

type Shop = r2d2::Pool<SqliteConnectionManager>;

#[pulpo::handler("add")]
fn add(order: queue::Order, shop: pulpo::State<Shop>) -> Result<(), Box<dyn Error + Send + Sync>> {
    shop.get()?.execute(queue::INSERT, [order.number])?;
    Ok(())
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let manager = SqliteConnectionManager::file(queue::shop());
    let shop = r2d2::Pool::new(manager).expect("opened");
    shop.get().expect("a connection").execute_batch(queue::CREATE).expect("a table");
    queue::work(&runtime, &shop);
    let connection = shop.get().expect("a connection");
    let rows = connection.query_row(queue::COUNT, [], |row| row.get(0)).expect("counted");
    let version: String = connection.query_row(queue::VERSION, [], |row| row.get(0)).expect("a version");
    queue::report(rows, version.as_str());
}
