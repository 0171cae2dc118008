//! The shared part of all programs here: jobs go into an embedded queue, a worker in the same
//! process runs them, and their handler writes a row into another database with the crate under
//! test.

use std::path::{Path, PathBuf};

use pulpo::{Config, Pulpo};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

pub const CREATE: &str = "CREATE TABLE orders(number INTEGER PRIMARY KEY)";
pub const INSERT: &str = "INSERT INTO orders(number) VALUES (?1)";
pub const COUNT: &str = "SELECT count(*) FROM orders";
pub const VERSION: &str = "SELECT sqlite_version() AS version";

const JOBS: i64 = 200;

#[derive(Serialize, Deserialize)]
pub struct Order {
    pub number: i64,
}

/// Returns the folder for both databases, which is the only argument.
fn folder() -> PathBuf {
    std::env::args_os().nth(1).expect("the folder for the databases").into()
}

/// Returns the file of the database beside the queue.
pub fn shop() -> PathBuf {
    folder().join("shop.db")
}

/// Publishes the jobs and works until all are done, on this runtime if the crate under test needs one.
pub fn work<T: Clone + Send + Sync + 'static>(runtime: &Runtime, shop: &T) {
    let queue = folder().join("queue");
    let config = Config::default().queue(&format!("file:{}", queue.display())).expect("a queue").concurrency(4);
    let pulpo = Pulpo::new(config).expect("the queue is opened");
    pulpo.publish_all((1..=JOBS).map(|number| Order { number })).expect("published");
    let worker = pulpo.worker().expect("a handler").runtime(runtime.handle().clone()).state(shop.clone());
    let summary = worker.drain().expect("the worker starts");
    assert_eq!(summary.done, JOBS as u64, "{summary:?}");
    assert!(Path::exists(&queue.join("queue.db")), "the queue is in a file");
}

/// Prints the SQLite version, if the crate under test uses SQLite, once all rows exist.
pub fn report<'a>(rows: i64, version: impl Into<Option<&'a str>>) {
    assert_eq!(rows, JOBS);
    println!("{}", version.into().unwrap_or("none"));
}
