//! A shop with axum and sqlx: an order and the job that confirms it are stored
//! together, or not at all.
//!
//! ```text
//! cd examples/web-orders && cargo run
//! curl -i localhost:8080/orders -H 'content-type: application/json' -d '{"item": "tea", "count": 2}'
//! curl localhost:8080/orders/1
//! curl -i localhost:8080/orders -H 'content-type: application/json' -d '{"item": "tea", "count": 2000}'
//! ```
//!
//! It shows: `publish_in_async` in a transaction of sqlx; an outbox that a worker
//! of the same process moves, so that a job starts within milliseconds after its
//! order is committed; a handler that uses the same pool; one Ctrl-C for both.
//!
//! The worker can also be a separate process: `web-orders work` with
//! `PULPO_OUTBOX=sqlite:shop.db`, and the service with `WORKER=off`. With other
//! arguments it is the command line of the queue: `web-orders outbox`.

use std::env;
use std::error::Error;
use std::future::IntoFuture as _;
use std::process::ExitCode;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use pulpo::{Config, Pulpo};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use tokio::net::TcpListener;

const SHOP: &str = "shop.db";

/// A placed order, which is also the body of its job.
#[derive(Serialize, Deserialize)]
struct OrderPlaced {
    order: i64,
}

/// A real handler would send a mail. It may run twice, like any job, so it first checks whether its
/// work is done.
#[pulpo::handler("order_placed", max_attempts = 5)]
async fn order_placed(job: OrderPlaced, shop: pulpo::State<SqlitePool>) -> Result<(), sqlx::Error> {
    let confirm = "UPDATE orders SET confirmations = confirmations + 1 WHERE id = $1 AND confirmations = 0";
    sqlx::query(confirm).bind(job.order).execute(&*shop).await.map(drop)
}

#[derive(Deserialize)]
struct NewOrder {
    item: String,
    count: i64,
}

/// Takes the goods from the stock, stores the order and publishes its job in one transaction. Any
/// early return rolls all of it back.
async fn place(State(shop): State<Shop>, Json(new): Json<NewOrder>) -> Result<Response, Trouble> {
    let mut transaction = shop.pool.begin().await?;
    let id: i64 = sqlx::query_scalar("INSERT INTO orders(item, count) VALUES ($1, $2) RETURNING id")
        .bind(&new.item)
        .bind(new.count)
        .fetch_one(&mut *transaction)
        .await?;
    shop.pulpo.publish_in_async(&mut *transaction, OrderPlaced { order: id }).await?;
    let taken = sqlx::query("UPDATE stock SET count = count - $2 WHERE item = $1 AND count >= $2")
        .bind(&new.item)
        .bind(new.count)
        .execute(&mut *transaction)
        .await?;
    if taken.rows_affected() == 0 {
        let body = Json(json!({ "error": format!("not {} of {} are left", new.count, new.item) }));
        return Ok((StatusCode::CONFLICT, body).into_response());
    }
    transaction.commit().await?;
    Ok((StatusCode::CREATED, Json(json!({ "order": id }))).into_response())
}

async fn show(State(shop): State<Shop>, Path(id): Path<i64>) -> Result<Response, Trouble> {
    let order: Option<(String, i64, i64)> =
        sqlx::query_as("SELECT item, count, confirmations FROM orders WHERE id = $1")
            .bind(id)
            .fetch_optional(&shop.pool)
            .await?;
    Ok(match order {
        Some((item, count, confirmations)) => {
            Json(json!({ "order": id, "item": item, "count": count, "confirmed": confirmations > 0 })).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    })
}

#[derive(Clone)]
struct Shop {
    pool: SqlitePool,
    pulpo: Pulpo,
}

/// An internal error. It becomes a `503`, so that the client tries again.
struct Trouble(Box<dyn Error + Send + Sync>);

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        eprintln!("error: {}", with_causes(&*self.0));
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": self.0.to_string() }))).into_response()
    }
}

/// Returns the text of an error, and of what caused it.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Opens the database, which includes the table of the outbox.
async fn open_shop() -> Result<SqlitePool, Box<dyn Error + Send + Sync>> {
    let options = SqliteConnectOptions::new().filename(SHOP).create_if_missing(true);
    let pool = SqlitePool::connect_with(options.journal_mode(SqliteJournalMode::Wal)).await?;
    for statement in [
        "CREATE TABLE IF NOT EXISTS stock(item TEXT PRIMARY KEY, count INTEGER NOT NULL)",
        "CREATE TABLE IF NOT EXISTS orders(id INTEGER PRIMARY KEY AUTOINCREMENT, item TEXT NOT NULL,
            count INTEGER NOT NULL, confirmations INTEGER NOT NULL DEFAULT 0)",
        "INSERT OR IGNORE INTO stock VALUES ('tea', 100), ('coffee', 50)",
    ] {
        sqlx::query(statement).execute(&pool).await?;
    }
    pulpo::outbox::create_async(&mut *pool.acquire().await?).await?;
    Ok(pool)
}

async fn serve() -> Result<(), Box<dyn Error + Send + Sync>> {
    let pool = open_shop().await?;
    let mut config = Config::load()?;
    if config.worker.outbox.is_empty() {
        config.worker.outbox = vec![format!("sqlite:{SHOP}").parse()?];
    }
    let pulpo = Pulpo::new(config)?;
    let service = Router::new()
        .route("/orders", post(place))
        .route("/orders/{id}", get(show))
        .with_state(Shop { pool: pool.clone(), pulpo: pulpo.clone() });
    let port = env::var("PORT").map_or(Ok(8080), |port| port.parse())?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}", listener.local_addr()?);

    if env::var("WORKER").is_ok_and(|worker| worker == "off") {
        return Ok(axum::serve(listener, service).await?);
    }
    let worker = pulpo.worker()?.state(pool);
    // The worker has its own threads, and stops at a signal; then the service stops too.
    let working = tokio::task::spawn_blocking(move || worker.run());
    let (stopped, when_stopped) = tokio::sync::oneshot::channel::<()>();
    let stopping = async move { drop(when_stopped.await) };
    let serving = tokio::spawn(axum::serve(listener, service).with_graceful_shutdown(stopping).into_future());
    working.await??;
    drop(stopped);
    Ok(serving.await??)
}

mod command_line {
    pulpo::main! {
        setup: |app| {
            let runtime = tokio::runtime::Runtime::new()?;
            let pool = runtime.block_on(super::open_shop())?;
            // The runtime polls the futures of the pool as long as the program runs.
            std::mem::forget(runtime);
            app.state(pool);
            Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
        },
    }

    pub(super) fn run() -> std::process::ExitCode {
        main()
    }
}

fn main() -> ExitCode {
    if env::args_os().len() > 1 {
        return command_line::run();
    }
    let served = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| runtime.block_on(serve()));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", with_causes(&*error));
            ExitCode::FAILURE
        }
    }
}
