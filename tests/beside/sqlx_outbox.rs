//! sqlx on its own database, and jobs published in its transactions, half of which are rolled back.
mod queue;

use pulpo::{Config, Pulpo};
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};

#[derive(Serialize, Deserialize)]
struct Placed {
    number: i64,
}

#[pulpo::handler("placed")]
async fn placed(order: Placed, shop: pulpo::State<SqlitePool>) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO placed(number) VALUES (?1)").bind(order.number).execute(&*shop).await.map(drop)
}

#[pulpo::handler("add")]
async fn add(order: queue::Order, shop: pulpo::State<SqlitePool>) -> Result<(), sqlx::Error> {
    sqlx::query(queue::INSERT).bind(order.number).execute(&*shop).await.map(drop)
}

async fn orders(pulpo: &Pulpo, shop: &SqlitePool) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    sqlx::query("CREATE TABLE placed(number INTEGER PRIMARY KEY)").execute(shop).await?;
    pulpo::outbox::create_async(&mut *shop.acquire().await?).await?;
    for number in 1..=100_i64 {
        let mut transaction = shop.begin().await?;
        let sent = pulpo.publish_in_async(&mut *transaction, Placed { number }).await?;
        assert!(sent.id().is_some_and(|id| id.as_str().starts_with("outbox/")));
        if number % 2 == 0 { transaction.commit().await? } else { transaction.rollback().await? }
    }
    // With the SQL statement, as any other client would.
    let row = pulpo.prepare(Placed { number: 200 })?;
    sqlx::query(row.sql()).bind(row.message()).execute(shop).await?;
    Ok(())
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let options = SqliteConnectOptions::new().filename(queue::shop()).create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal);
    let shop = runtime.block_on(SqlitePool::connect_with(options)).expect("opened");
    runtime.block_on(sqlx::query(queue::CREATE).execute(&shop)).expect("a table");
    queue::work(&runtime, &shop);

    let place = queue::shop().with_file_name("queue");
    let mut config = Config::default().queue(&format!("file:{}", place.display())).expect("a queue");
    config.worker.outbox = vec![format!("sqlite:{}", queue::shop().display()).parse().expect("a database")];
    let pulpo = Pulpo::new(config).expect("the queue is opened");
    // On another thread: the future is `Send`.
    let (asked, pool) = (pulpo.clone(), shop.clone());
    let made = runtime.spawn(async move { orders(&asked, &pool).await });
    runtime.block_on(made).expect("no panic").expect("orders are made");
    let worker = pulpo.worker().expect("handlers").runtime(runtime.handle().clone()).state(shop.clone());
    assert_eq!(worker.drain().expect("the worker starts").done, 51);
    let sum = "SELECT sum(number) FROM placed";
    let sum: i64 = runtime.block_on(sqlx::query_scalar(sum).fetch_one(&shop)).expect("a sum");
    assert_eq!(sum, (1..=50).map(|half| half * 2).sum::<i64>() + 200);

    let rows = runtime.block_on(sqlx::query_scalar(queue::COUNT).fetch_one(&shop)).expect("counted");
    let version: String = runtime.block_on(sqlx::query_scalar(queue::VERSION).fetch_one(&shop)).expect("a version");
    queue::report(rows, version.as_str());
}
