//! apalis on SQLite.

use std::str::FromStr as _;
use std::time::Duration;

use apalis::prelude::*;
use apalis_sqlite::callback::HookCallbackListener;
use apalis_sqlite::{Config, SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteStorage};
use beside_common::{Email, Framework, Settings, handle};
use futures::StreamExt as _;
use sqlx::sqlite::SqliteSynchronous;

struct Apalis {
    pool: SqlitePool,
    listener: Option<HookCallbackListener>,
    settings: Settings,
}

impl Apalis {
    fn storage(&self) -> SqliteStorage<Email> {
        let storage = SqliteStorage::new(&self.pool);
        match self.settings {
            Settings::Defaults => storage,
            Settings::Fastest | Settings::Synced => {
                let config = Config::default().queue(std::any::type_name::<Email>());
                storage.with_config(config.batch_size(256).lock_tasks(false))
            }
        }
    }
}

impl Framework for Apalis {
    type Publisher = SqliteStorage<Email>;

    async fn open(place: &str, settings: Settings) -> Self {
        let url = format!("sqlite:{place}/queue.db?mode=rwc");
        match settings {
            // As in "Basic Worker" of its documentation.
            Settings::Defaults => {
                let pool = SqlitePool::connect(&url).await.expect("a pool");
                SqliteStorage::setup(&pool).await.expect("set up");
                Self { pool, listener: None, settings }
            }
            // As in "Event-Driven Worker". Its `setup` turns syncs off for one
            // connection of the pool; here that holds for all.
            Settings::Fastest => {
                let url = format!("sqlite:{place}/queue.db?mode=rwc");
                let (hooked, listener) = SqliteStorage::connect_with_callback(&url).expect("a pool");
                let options = SqliteConnectOptions::from_str(&url).expect("a URL");
                hooked.set_connect_options(options.synchronous(SqliteSynchronous::Off));
                SqliteStorage::setup(&hooked).await.expect("set up");
                Self { pool: hooked, listener: Some(listener), settings }
            }
            // The same with syncs: the connection that was set up is closed.
            Settings::Synced => {
                let first = SqlitePoolOptions::new().max_connections(1).connect(&url).await.expect("a pool");
                SqliteStorage::setup(&first).await.expect("set up");
                first.close().await;
                let (pool, listener) = SqliteStorage::connect_with_callback(&url).expect("a pool");
                let options = SqliteConnectOptions::from_str(&url).expect("a URL");
                pool.set_connect_options(options.synchronous(SqliteSynchronous::Full));
                Self { pool, listener: Some(listener), settings }
            }
        }
    }

    fn publisher(&self) -> SqliteStorage<Email> {
        self.storage()
    }

    async fn publish(storage: &mut SqliteStorage<Email>, email: Email) {
        storage.push(email).await.expect("published");
    }

    async fn publish_all(storage: &mut SqliteStorage<Email>, emails: Vec<Email>) -> Option<()> {
        storage.push_bulk(emails).await.expect("published");
        Some(())
    }

    async fn work(&self, lanes: usize) {
        // Runs in `block_on` of a thread, as in a main function: its future is
        // not one to spawn.
        let runtime = tokio::runtime::Handle::current();
        // Two workers of one name do not work at the same time.
        let name = format!("worker-{}", std::process::id());
        match &self.listener {
            None => {
                let worker = WorkerBuilder::new(name).backend(self.storage()).concurrency(lanes).build(handle);
                std::thread::spawn(move || runtime.block_on(worker.run()).expect("a run"));
            }
            Some(listener) => {
                let strategy =
                    Strategy::new().stream(listener.clone().ready_chunks(256)).interval(Duration::from_millis(500));
                let worker = WorkerBuilder::new(name)
                    .backend(self.storage().poll_with_strategy(strategy))
                    .concurrency(lanes)
                    .parallelize(tokio::spawn)
                    .build(handle);
                std::thread::spawn(move || runtime.block_on(worker.run()).expect("a run"));
            }
        }
    }
}

fn main() {
    beside_common::main::<Apalis>();
}
