//! diesel on its own database, beside the embedded queue.
mod queue;

use std::sync::{Arc, Mutex};

use diesel::sql_types::BigInt;
use diesel::{Connection as _, QueryableByName, RunQueryDsl as _, SqliteConnection, dsl, sql_types};

type Shop = Arc<Mutex<SqliteConnection>>;

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = sql_types::Text)]
    version: String,
}

#[pulpo::handler("add")]
fn add(order: queue::Order, shop: pulpo::State<Shop>) -> Result<(), diesel::result::Error> {
    let shop = &mut *shop.lock().expect("no handler has panicked");
    diesel::sql_query(queue::INSERT).bind::<BigInt, _>(order.number).execute(shop).map(drop)
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut shop = SqliteConnection::establish(queue::shop().to_str().expect("a text")).expect("opened");
    diesel::sql_query(queue::CREATE).execute(&mut shop).expect("a table");
    let shop = Arc::new(Mutex::new(shop));
    queue::work(&runtime, &shop);
    let shop = &mut *shop.lock().expect("no handler has panicked");
    let rows = diesel::select(dsl::sql::<BigInt>(&format!("({})", queue::COUNT))).get_result(shop).expect("counted");
    let version: Version = diesel::sql_query(queue::VERSION).get_result(shop).expect("a version");
    queue::report(rows, version.version.as_str());
}
