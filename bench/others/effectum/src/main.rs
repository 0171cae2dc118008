//! effectum.

use std::path::Path;
use std::sync::{Arc, Mutex};

use beside_common::{Email, Framework, Settings, handle};
use effectum::{Job, JobRunner, Queue, RunningJob, Worker};

struct Effectum {
    queue: Arc<Queue>,
    settings: Settings,
    // A worker ends when it is dropped.
    workers: Mutex<Vec<Worker>>,
}

async fn send_email(job: RunningJob, _: ()) -> Result<(), effectum::Error> {
    let email: Email = job.json_payload()?;
    handle(email).await;
    Ok(())
}

fn job(email: &Email) -> Job {
    Job::builder("send_email").json_payload(email).expect("JSON").build()
}

impl Framework for Effectum {
    type Publisher = Arc<Queue>;

    async fn open(place: &str, settings: Settings) -> Self {
        let queue = Queue::new(&Path::new(place).join("queue.db")).await.expect("a queue");
        Self { queue: Arc::new(queue), settings, workers: Mutex::default() }
    }

    fn publisher(&self) -> Arc<Queue> {
        Arc::clone(&self.queue)
    }

    async fn publish(queue: &mut Arc<Queue>, email: Email) {
        queue.add_job(job(&email)).await.expect("published");
    }

    async fn publish_all(queue: &mut Arc<Queue>, emails: Vec<Email>) -> Option<()> {
        queue.add_jobs(emails.iter().map(job).collect()).await.expect("published");
        Some(())
    }

    async fn work(&self, lanes: usize) {
        let runner = JobRunner::builder("send_email", send_email).build();
        let builder = Worker::builder(&self.queue, ()).jobs([runner]);
        let builder = match (self.settings, lanes) {
            (Settings::Defaults, _) | (_, 1) => builder.max_concurrency(u16::try_from(lanes).expect("a few")),
            // More jobs are fetched when half of them are done.
            _ => builder.max_concurrency(256).min_concurrency(128),
        };
        let worker = builder.build().await.expect("a worker");
        self.workers.lock().expect("no panic").push(worker);
    }
}

fn main() {
    beside_common::main::<Effectum>();
}
