//! sqlx for PostgreSQL, with no SQLite of its own, beside the embedded queue.
//! There is no server: it is enough that both are in one program.
mod queue;

use std::sync::{Arc, Mutex};

use sqlx::postgres::{PgConnectOptions, PgPool};

type Orders = Arc<Mutex<Vec<i64>>>;

#[pulpo::handler("add")]
fn add(order: queue::Order, orders: pulpo::State<Orders>) {
    orders.lock().expect("no handler has panicked").push(order.number);
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
