use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct OrderPaid {
    id: i64,
}

#[pulpo::handler("order_paid")]
fn order_paid(_: OrderPaid) {}

async fn publish(client: &tokio_postgres::Client, shop: &rusqlite::Connection) {
    let _ = pulpo::publish_in_async(client, OrderPaid { id: 1 }).await;
    let _ = pulpo::publish_in(shop, OrderPaid { id: 2 });
}

fn main() {}

//~ client
//~ shop
