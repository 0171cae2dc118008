//! The conformance suite, on every queue adapter. The examples contain an adapter that somebody
//! else might write.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use pulpo::clock::{Clock as _, ManualClock, SystemClock};
use pulpo::queue::QueueAdapter;
use pulpo::queue::beanstalkd::{BeanstalkdOptions, BeanstalkdQueue};
use pulpo::queue::conformance::Harness;
use pulpo::queue::file::FileQueue;
use pulpo::queue::postgres::PostgresQueue;
use pulpo::queue::several::Several;
use pulpo::{Config, Pulpo};
use pulpo_tests::beanstalkd::BeanstalkdServer;
use pulpo_tests::postgres::{Pooler, PostgresServer};
use tempfile::TempDir;

/// An embedded queue with a test clock.
struct Clocked {
    queue: FileQueue,
    clock: ManualClock,
    _folder: Option<TempDir>,
}

impl Harness for Clocked {
    fn queue(&self) -> &dyn QueueAdapter {
        &self.queue
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    fn restore(&self, backup: &Path) -> Option<Box<dyn QueueAdapter>> {
        let folder = backup.with_file_name("restored");
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(backup, folder.join("queue.db")).unwrap();
        Some(Box::new(FileQueue::open(&folder, false, Arc::new(self.clock.clone())).unwrap()))
    }
}

fn clock() -> ManualClock {
    ManualClock::at("2026-11-23T09:00:00Z".parse().unwrap())
}

fn on_disk() -> Clocked {
    let (clock, folder) = (clock(), TempDir::new().unwrap());
    let queue = FileQueue::open(folder.path(), false, Arc::new(clock.clone())).unwrap();
    Clocked { queue, clock, _folder: Some(folder) }
}

fn in_memory() -> Clocked {
    let clock = clock();
    let queue = FileQueue::memory(true, Arc::new(clock.clone())).unwrap();
    Clocked { queue, clock, _folder: None }
}

/// A server, whose time only passes by waiting.
struct Served {
    queue: BeanstalkdQueue,
    _server: BeanstalkdServer,
}

impl Served {
    fn new() -> Self {
        let server = BeanstalkdServer::start();
        let options = BeanstalkdOptions::new("127.0.0.1").port(server.port());
        let queue = BeanstalkdQueue::connect(options, Arc::new(SystemClock::new())).unwrap();
        Self { queue, _server: server }
    }
}

impl Harness for Served {
    fn queue(&self) -> &dyn QueueAdapter {
        &self.queue
    }

    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn pass(&self, time: Duration) {
        std::thread::sleep(time + Duration::from_millis(100));
    }
}

/// Three servers as one queue.
struct SeveralServers {
    queue: Several,
    _servers: Vec<BeanstalkdServer>,
}

impl SeveralServers {
    fn new() -> Self {
        let servers: Vec<_> = (0..3).map(|_| BeanstalkdServer::start()).collect();
        let adapter = |server: &BeanstalkdServer| -> (String, Arc<dyn QueueAdapter>) {
            let options = BeanstalkdOptions::new("127.0.0.1").port(server.port());
            let queue = BeanstalkdQueue::connect(options, Arc::new(SystemClock::new())).unwrap();
            (format!("127.0.0.1:{}", server.port()), Arc::new(queue))
        };
        Self { queue: Several::new(servers.iter().map(adapter).collect()), _servers: servers }
    }
}

impl Harness for SeveralServers {
    fn queue(&self) -> &dyn QueueAdapter {
        &self.queue
    }

    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn pass(&self, time: Duration) {
        std::thread::sleep(time + Duration::from_millis(100));
    }
}

/// A server behind a spool, as a configuration opens it.
struct Spooling {
    queue: Arc<dyn QueueAdapter>,
    _server: BeanstalkdServer,
    _folder: TempDir,
}

impl Spooling {
    fn new() -> Self {
        let (server, folder) = (BeanstalkdServer::start(), TempDir::new().unwrap());
        let mut config = Config::default().queue(&format!("beanstalkd://127.0.0.1:{}", server.port())).unwrap();
        let spool = Config::default().queue(&format!("file:{}", folder.path().join("spool").display())).unwrap();
        config.spool = Some(spool.backend);
        let queue = Pulpo::new(config).unwrap().queue().clone();
        assert!(queue.spool().is_some());
        Self { queue, _server: server, _folder: folder }
    }
}

impl Harness for Spooling {
    fn queue(&self) -> &dyn QueueAdapter {
        &*self.queue
    }

    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn pass(&self, time: Duration) {
        std::thread::sleep(time + Duration::from_millis(100));
    }
}

/// A database, which uses its own clock.
struct Database {
    queue: PostgresQueue,
    _pooler: Option<Pooler>,
    _server: Arc<PostgresServer>,
}

impl Database {
    fn new() -> Self {
        let server = PostgresServer::shared();
        Self { queue: connect(&server.fresh_url()), _pooler: None, _server: server }
    }

    /// Starts a database behind a pooler that has one session for all.
    fn behind_a_pooler() -> Self {
        let server = PostgresServer::shared();
        let url = server.fresh_url();
        let schema = url.rsplit_once('=').map(|(_, schema)| schema.to_owned()).unwrap();
        let pooler = Pooler::start(&server, 1);
        Self { queue: connect(&pooler.url(&schema)), _pooler: Some(pooler), _server: server }
    }
}

fn connect(url: &str) -> PostgresQueue {
    PostgresQueue::connect(url.parse().unwrap(), Arc::new(SystemClock::new())).unwrap()
}

impl Harness for Database {
    fn queue(&self) -> &dyn QueueAdapter {
        &self.queue
    }

    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn pass(&self, time: Duration) {
        std::thread::sleep(time + Duration::from_millis(100));
    }
}

/// Three beanstalkd servers.
mod several {
    pulpo::queue_conformance!(super::SeveralServers::new());
}

mod spool {
    pulpo::queue_conformance!(super::Spooling::new());
}

mod file {
    pulpo::queue_conformance!(super::on_disk());
}

mod memory {
    pulpo::queue_conformance!(super::in_memory());
}

mod beanstalkd {
    pulpo::queue_conformance!(super::Served::new());
}

mod postgres {
    pulpo::queue_conformance!(super::Database::new());
}

mod postgres_behind_a_pooler {
    pulpo::queue_conformance!(super::Database::behind_a_pooler());
}
