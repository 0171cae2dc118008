//! sqlx for PostgreSQL, without its own SQLite, beside the embedded queue. There is no server: it
//! is enough that both are in one program.
mod queue;

use std::sync::{Arc, Mutex};

use sqlx::postgres::{PgConnectOptions, PgPool};

type Orders = Arc<Mutex<Vec<i64>>>;

#[pulpo::handler("add")]
fn add(order: queue::Order, orders: pulpo::State<Orders>) {
    orders.lock().expect("no handler has panicked").push(order.number);
}

/// Only compiled, because there is no server to run it against.
#[allow(dead_code)]
async fn publish(pool: &PgPool) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut transaction = pool.begin().await?;
    pulpo::outbox::create_async(&mut *transaction).await?;
    pulpo::publish_in_async(&mut *transaction, queue::Order { number: 1 }).await?;
    Ok(transaction.commit().await?)
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let pool = {
        let _entered = runtime.enter();
        PgPool::connect_lazy_with(PgConnectOptions::new_without_pgpass().host("localhost"))
    };
    let orders = Orders::default();
    queue::work(&runtime, &orders);
    assert_eq!(pool.size(), 0);
    let rows = orders.lock().expect("no handler has panicked").len();
    queue::report(rows as i64, None);
}
