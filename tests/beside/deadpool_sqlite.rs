//! deadpool-sqlite on its own database, beside the embedded queue.
mod queue;

use std::error::Error;

use deadpool_sqlite::{Config, Pool, Runtime, rusqlite};

#[pulpo::handler("add")]
async fn add(order: queue::Order, shop: pulpo::State<Pool>) -> Result<(), Box<dyn Error + Send + Sync>> {
    let added = shop.get().await?.interact(move |shop| shop.execute(queue::INSERT, [order.number])).await;
    added.map_err(|error| error.to_string())??;
    Ok(())
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    // When dropped, the pool closes its connections on the runtime.
    let _entered = runtime.enter();
    let shop = Config::new(queue::shop()).create_pool(Runtime::Tokio1).expect("a pool");
    runtime.block_on(async {
        let connection = shop.get().await.expect("opened");
        let created = connection.interact(|shop| shop.execute_batch(queue::CREATE)).await;
        created.expect("no panic").expect("a table");
    });
    queue::work(&runtime, &shop);
    let (rows, version) = runtime.block_on(async {
        let connection = shop.get().await.expect("a connection");
        let asked = connection.interact(|shop| -> rusqlite::Result<(i64, String)> {
            let rows = shop.query_row(queue::COUNT, [], |row| row.get(0))?;
            Ok((rows, shop.query_row(queue::VERSION, [], |row| row.get(0))?))
        });
        asked.await.expect("no panic").expect("counted")
    });
    queue::report(rows, version.as_str());
}
