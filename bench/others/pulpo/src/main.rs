//! pulpo on the embedded queue and on PostgreSQL.

use std::path::Path;
use std::sync::Arc;

use beside_common::{Email, Framework, Settings, handle};
use pulpo::Pulpo;
use pulpo::clock::SystemClock;
use pulpo::queue::QueueAdapter;
use pulpo::queue::file::FileQueue;
use pulpo::queue::postgres::PostgresQueue;
use pulpo::worker::WorkerOptions;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct SendEmail(Email);

#[pulpo::handler("send_email")]
async fn send_email(email: SendEmail) {
    handle(email.0).await;
}

struct Beside {
    queue: Arc<dyn QueueAdapter>,
    publisher: Arc<Pulpo>,
}

fn pulpo(queue: &Arc<dyn QueueAdapter>, lanes: usize) -> Pulpo {
    let mut options = WorkerOptions::default();
    options.concurrency = lanes;
    options.handle_signals = false;
    Pulpo::with_queue(Arc::clone(queue), options, Arc::new(SystemClock::new()))
}

fn open(place: &str) -> Arc<dyn QueueAdapter> {
    let clock = Arc::new(SystemClock::new());
    if place.starts_with("postgres:") {
        let options = place.parse().expect("a URL");
        Arc::new(PostgresQueue::connect(options, clock).expect("a database"))
    } else {
        Arc::new(FileQueue::open(Path::new(place), false, clock).expect("a queue"))
    }
}

impl Framework for Beside {
    type Publisher = Arc<Pulpo>;

    async fn open(place: &str, _: Settings) -> Self {
        let place = place.to_owned();
        let queue = tokio::task::spawn_blocking(move || open(&place)).await.expect("no panic");
        let publisher = Arc::new(pulpo(&queue, 1));
        Self { queue, publisher }
    }

    fn publisher(&self) -> Arc<Pulpo> {
        Arc::clone(&self.publisher)
    }

    async fn publish(pulpo: &mut Arc<Pulpo>, email: Email) {
        pulpo.publish_async(SendEmail(email)).await.expect("published");
    }

    async fn publish_all(pulpo: &mut Arc<Pulpo>, emails: Vec<Email>) -> Option<()> {
        pulpo.publish_all_async(emails.into_iter().map(SendEmail)).await.expect("published");
        Some(())
    }

    async fn work(&self, lanes: usize) {
        let pulpo = pulpo(&self.queue, lanes);
        std::thread::spawn(move || pulpo.worker().expect("a handler").run().expect("a run"));
    }
}

fn main() {
    beside_common::main::<Beside>();
}
