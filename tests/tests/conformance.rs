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

/// A queue on servers, whose time only passes by waiting.
struct Served<S> {
    queue: Arc<dyn QueueAdapter>,
    _servers: S,
}

impl<S> Served<S> {
    fn new(queue: impl QueueAdapter, servers: S) -> Self {
        Self { queue: Arc::new(queue), _servers: servers }
    }
}

impl<S: Sync> Harness for Served<S> {
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

fn beanstalkd_queue(server: &BeanstalkdServer) -> BeanstalkdQueue {
    let options = BeanstalkdOptions::new("127.0.0.1").port(server.port());
    BeanstalkdQueue::connect(options, Arc::new(SystemClock::new())).unwrap()
}

fn one_server() -> Served<BeanstalkdServer> {
    let server = BeanstalkdServer::start();
    Served::new(beanstalkd_queue(&server), server)
}

fn three_servers() -> Served<Vec<BeanstalkdServer>> {
    let servers: Vec<_> = (0..3).map(|_| BeanstalkdServer::start()).collect();
    let adapter = |server: &BeanstalkdServer| -> (String, Arc<dyn QueueAdapter>) {
        (format!("127.0.0.1:{}", server.port()), Arc::new(beanstalkd_queue(server)))
    };
    Served::new(Several::new(servers.iter().map(adapter).collect()), servers)
}

/// A server behind a spool, as a configuration opens it.
fn with_a_spool() -> Served<(BeanstalkdServer, TempDir)> {
    let (server, folder) = (BeanstalkdServer::start(), TempDir::new().unwrap());
    let mut config = Config::default().queue(&format!("beanstalkd://127.0.0.1:{}", server.port())).unwrap();
    let spool = Config::default().queue(&format!("file:{}", folder.path().join("spool").display())).unwrap();
    config.spool = Some(spool.backend);
    let queue = Pulpo::new(config).unwrap().queue().clone();
    assert!(queue.spool().is_some());
    Served { queue, _servers: (server, folder) }
}

fn postgres_queue(url: &str) -> PostgresQueue {
    PostgresQueue::connect(url.parse().unwrap(), Arc::new(SystemClock::new())).unwrap()
}

fn database() -> Served<Arc<PostgresServer>> {
    let server = PostgresServer::shared();
    Served::new(postgres_queue(&server.fresh_url()), server)
}

/// A database behind a pooler that has one session for all.
fn behind_a_pooler() -> Served<(Pooler, Arc<PostgresServer>)> {
    let server = PostgresServer::shared();
    let url = server.fresh_url();
    let schema = url.rsplit_once('=').map(|(_, schema)| schema.to_owned()).unwrap();
    let pooler = Pooler::start(&server, 1);
    Served::new(postgres_queue(&pooler.url(&schema)), (pooler, server))
}

mod several {
    pulpo::queue_conformance!(super::three_servers());
}

mod spool {
    pulpo::queue_conformance!(super::with_a_spool());
}

mod file {
    pulpo::queue_conformance!(super::on_disk());
}

mod memory {
    pulpo::queue_conformance!(super::in_memory());
}

mod beanstalkd {
    pulpo::queue_conformance!(super::one_server());
}

mod postgres {
    pulpo::queue_conformance!(super::database());
}

mod postgres_behind_a_pooler {
    pulpo::queue_conformance!(super::behind_a_pooler());
}
