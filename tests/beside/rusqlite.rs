//! rusqlite on its own database, beside the embedded queue.
mod queue;

use std::sync::{Arc, Mutex};

use rusqlite::Connection;

type Shop = Arc<Mutex<Connection>>;

#[pulpo::handler("add")]
fn add(order: queue::Order, shop: pulpo::State<Shop>) -> rusqlite::Result<()> {
    let shop = shop.lock().expect("no handler has panicked");
    shop.execute(queue::INSERT, [order.number]).map(drop)
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let shop = Connection::open(queue::shop()).expect("opened");
    shop.execute_batch(queue::CREATE).expect("a table");
    let shop = Arc::new(Mutex::new(shop));
    queue::work(&runtime, &shop);
    let shop = shop.lock().expect("no handler has panicked");
    let rows = shop.query_row(queue::COUNT, [], |row| row.get(0)).expect("counted");
    let version: String = shop.query_row(queue::VERSION, [], |row| row.get(0)).expect("a version");
    queue::report(rows, version.as_str());
}
