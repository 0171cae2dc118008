//! graphile_worker on PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use beside_common::{Email, Framework, Settings, handle};
use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, TaskHandler, WorkerContext, WorkerOptions, WorkerUtils,
};
use serde::{Deserialize, Serialize};

/// Jobs of one local queue.
const LOCAL: usize = 5_000;

#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct SendEmail(Email);

impl TaskHandler for SendEmail {
    const IDENTIFIER: &'static str = "send_email";

    async fn run(self, _: WorkerContext) -> impl IntoTaskHandlerResult {
        handle(self.0).await;
        Ok::<(), String>(())
    }
}

struct Graphile {
    url: String,
    schema: String,
    settings: Settings,
    utils: Arc<WorkerUtils>,
}

impl Graphile {
    fn options(&self, lanes: usize) -> WorkerOptions {
        let options = options(&self.url, &self.schema);
        match self.settings {
            Settings::Defaults => options.concurrency(lanes),
            // As in its own benchmark of throughput, perf_test.
            Settings::Fastest | Settings::Synced => options
                .concurrency(if lanes > 1 { 500 } else { 1 })
                .max_pg_conn(100)
                .poll_interval(Duration::from_millis(5))
                .complete_job_batch_delay(Duration::from_millis(5))
                .local_queue(LocalQueueConfig::default().with_size(LOCAL)),
        }
    }
}

fn options(url: &str, schema: &str) -> WorkerOptions {
    WorkerOptions::default().database_url(url).schema(schema).define_job::<SendEmail>()
}

impl Framework for Graphile {
    type Publisher = Arc<WorkerUtils>;

    async fn open(place: &str, settings: Settings) -> Self {
        let (url, schema) = place.split_once("?schema=").expect("a URL with a schema");
        let worker = options(url, schema).init().await.expect("a worker");
        let utils = Arc::new(worker.create_utils());
        Self { url: url.to_owned(), schema: schema.to_owned(), settings, utils }
    }

    fn publisher(&self) -> Arc<WorkerUtils> {
        Arc::clone(&self.utils)
    }

    async fn publish(utils: &mut Arc<WorkerUtils>, email: Email) {
        utils.add_job(SendEmail(email), JobSpec::default()).await.expect("published");
    }

    async fn publish_all(utils: &mut Arc<WorkerUtils>, emails: Vec<Email>) -> Option<()> {
        let spec = JobSpec::default();
        let jobs: Vec<_> = emails.into_iter().map(|email| (SendEmail(email), &spec)).collect();
        utils.add_jobs(&jobs).await.expect("published");
        Some(())
    }

    async fn work(&self, lanes: usize) {
        let worker = self.options(lanes).init().await.expect("a worker");
        tokio::spawn(async move { worker.run().await.expect("a run") });
    }
}

fn main() {
    beside_common::main::<Graphile>();
}
