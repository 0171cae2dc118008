use pulpo::Pulpo;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct OrderPaid {
    id: i64,
}

#[pulpo::handler("order_paid")]
fn order_paid(_: OrderPaid) {}

struct Pool;

async fn in_a_pool(mut pool: Pool) {
    let _ = pulpo::publish_in_async(&mut pool, OrderPaid { id: 1 }).await;
    pulpo::publish_in_async(&mut pool, OrderPaid { id: 2 }).await.unwrap();
    let _ = pulpo::publish_in(&mut pool, OrderPaid { id: 3 });
}

async fn with_a_blocking_client(mut shop: rusqlite::Connection) {
    pulpo::outbox::create_async(&mut shop).await.unwrap();
    let mut transaction = shop.transaction().unwrap();
    let _ = pulpo::publish_in_async::<OrderPaid, _>(&mut transaction, OrderPaid { id: 4 }).await;
}

async fn with_an_async_client(pulpo: Pulpo, mut shop: tokio_postgres::Client, mut pool: Pool) {
    let _ = pulpo::outbox::create(&mut shop);
    pulpo.publish_in_async(&mut pool, OrderPaid { id: 5 }).await.unwrap();
    let mut transaction = shop.transaction().await.unwrap();
    let _ = pulpo.publish_in(&mut transaction, OrderPaid { id: 6 });
}

fn main() {}

//~ &mut pool => expected `&mut *transaction` of sqlx, or `&mut transaction` of tokio-postgres
//~ &mut pool => a pool is not a transaction: begin one with `pool.begin().await`
//~ &mut pool => expected `&mut` of a transaction or a connection
//~ &mut shop => for rusqlite and postgres there is `publish_in`
//~ &mut transaction => for rusqlite and postgres there is `publish_in`
//~ &mut shop => for sqlx and tokio-postgres there is `create_async`
//~ &mut pool => expected `&mut *transaction` of sqlx, or `&mut transaction` of tokio-postgres
//~ &mut transaction => for sqlx and tokio-postgres there is `publish_in_async`
