//! tokio-rusqlite on its own database, beside the embedded queue.
mod queue;

use tokio_rusqlite::{Connection, Error, rusqlite};

#[pulpo::handler("add")]
async fn add(order: queue::Order, shop: pulpo::State<Connection>) -> Result<(), Error> {
    shop.call(move |shop| shop.execute(queue::INSERT, [order.number])).await.map(drop)
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let shop = runtime.block_on(Connection::open(queue::shop())).expect("opened");
    runtime.block_on(shop.call(|shop| shop.execute_batch(queue::CREATE))).expect("a table");
    queue::work(&runtime, &shop);
    let counted = shop.call(|shop| shop.query_row(queue::COUNT, [], |row| row.get(0)));
    let asked = shop.call(|shop| -> rusqlite::Result<String> { shop.query_row(queue::VERSION, [], |row| row.get(0)) });
    let rows = runtime.block_on(counted).expect("counted");
    queue::report(rows, runtime.block_on(asked).expect("a version").as_str());
}
