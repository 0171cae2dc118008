//! Shared by the programs of all frameworks: the job, its handler, and the
//! measurements. Each measurement is a process of its own, which prints one line
//! of JSON; `scripts/beside-frameworks` starts them in turn.

use std::future::Future;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};
use tokio::task::JoinSet;

pub use self::job::{Email, handle};
use self::job::{RUNS, now};

mod job;

/// Jobs of one batch.
const BATCH: u64 = 256;
/// Tasks that publish at the same time.
const PUBLISHERS: u64 = 8;
/// The longest that a job may take to be picked up. Pickup that waits for the
/// next heartbeat takes half a minute.
const LONGEST_PICKUP: Duration = Duration::from_secs(70);

/// How a framework is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Settings {
    /// As its first example shows it.
    Defaults,
    /// The fastest that its documentation offers.
    Fastest,
    /// The fastest with jobs on disk when publishing returns, if the above is not.
    Synced,
}

/// A framework with a store that is open.
pub trait Framework: Sized + Send + Sync + 'static {
    /// The handle of one publishing task.
    type Publisher: Send + 'static;

    /// Opens the store in a file or at a URL, and creates what it needs there.
    fn open(place: &str, settings: Settings) -> impl Future<Output = Self> + Send;

    /// Returns the handle of one more task.
    fn publisher(&self) -> Self::Publisher;

    /// Publishes one job.
    fn publish(publisher: &mut Self::Publisher, email: Email) -> impl Future<Output = ()> + Send;

    /// Publishes several in one call; `None` if the framework has no such call.
    fn publish_all(publisher: &mut Self::Publisher, emails: Vec<Email>) -> impl Future<Output = Option<()>> + Send;

    /// Starts a worker that passes each job to [`handle`], `lanes` at a time,
    /// or more if the settings are the fastest and ask for it. It works until
    /// the process ends.
    fn work(&self, lanes: usize) -> impl Future<Output = ()> + Send;
}

#[derive(Parser)]
struct Arguments {
    settings: Settings,
    /// A folder or a URL.
    place: String,
    /// Shorter measurements
    #[arg(long)]
    quick: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Publish one after the other: jobs a second.
    PublishOne,
    /// Publish by eight tasks: jobs a second.
    PublishEight,
    /// Publish in batches: jobs a second.
    PublishBatches,
    /// Run the waiting jobs, one at a time: jobs a second.
    DrainOne,
    /// Like drain-one, with eight lanes.
    DrainEight,
    /// How long an idle worker takes to start a job: milliseconds.
    Pickup,
    /// Publish this many jobs one by one, and no more.
    PublishCount { jobs: u64 },
    /// Publish a job with this subject.
    Put { subject: String },
    /// Work until standard input ends, and print each job that begins; each
    /// line of the input is the subject of a job to publish here.
    Work { lanes: usize },
}

/// Runs the program.
///
/// # Panics
/// If the framework fails: a figure of a run that failed is worth nothing.
pub fn main<F: Framework>() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let line = runtime.block_on(async {
        let framework = F::open(&arguments.place, arguments.settings).await;
        run(framework, &arguments).await
    });
    println!("{line}");
    // The worker still runs.
    std::process::exit(0);
}

async fn run<F: Framework>(framework: F, arguments: &Arguments) -> serde_json::Value {
    let quick = arguments.quick;
    let time = Duration::from_millis(if quick { 250 } else { 600 });
    match &arguments.what {
        What::PublishOne => publish(&framework, 1, time).await.into(),
        What::PublishEight => publish(&framework, PUBLISHERS, time).await.into(),
        What::PublishBatches => publish_batches(&framework, time).await.into(),
        What::DrainOne => drain(&framework, 1, quick).await.into(),
        What::DrainEight => drain(&framework, 8, quick).await.into(),
        What::Pickup => pickup(&framework, if quick { 30 } else { 100 }).await.into(),
        What::PublishCount { jobs } => {
            let mut publisher = framework.publisher();
            for number in 0..*jobs {
                F::publish(&mut publisher, Email::numbered(number)).await;
            }
            (*jobs).into()
        }
        What::Put { subject } => {
            F::publish(&mut framework.publisher(), Email::about(subject)).await;
            subject.as_str().into()
        }
        What::Work { lanes } => {
            RUNS.print();
            framework.work(*lanes).await;
            put_lines(&framework).await;
            serde_json::Value::Null
        }
    }
}

async fn put_lines<F: Framework>(framework: &F) {
    let (sender, mut subjects) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let mut publisher = framework.publisher();
    while let Some(subject) = subjects.recv().await {
        F::publish(&mut publisher, Email::about(&subject)).await;
    }
}

async fn publish<F: Framework>(framework: &F, tasks: u64, time: Duration) -> f64 {
    let started = Instant::now();
    let mut publishing = JoinSet::new();
    for task in 0..tasks {
        let mut publisher = framework.publisher();
        publishing.spawn(async move {
            let mut number = task;
            let mut published = 0;
            while started.elapsed() < time {
                F::publish(&mut publisher, Email::numbered(number)).await;
                number += tasks;
                published += 1;
            }
            published
        });
    }
    let published: u64 = publishing.join_all().await.into_iter().sum();
    published as f64 / started.elapsed().as_secs_f64()
}

async fn publish_batches<F: Framework>(framework: &F, time: Duration) -> Option<f64> {
    let mut publisher = framework.publisher();
    let (started, mut number) = (Instant::now(), 0);
    while started.elapsed() < time {
        F::publish_all(&mut publisher, (number..number + BATCH).map(Email::numbered).collect()).await?;
        number += BATCH;
    }
    Some(number as f64 / started.elapsed().as_secs_f64())
}

/// From the start of the first job, so that connecting does not count, until
/// all are done or the time is up.
async fn drain<F: Framework>(framework: &F, lanes: usize, quick: bool) -> f64 {
    let (jobs, time) = if quick { (6_000, Duration::from_secs(1)) } else { (40_000, Duration::from_secs(3)) };
    fill(framework, jobs).await;
    framework.work(lanes).await;
    RUNS.wait(1, LONGEST_PICKUP).await;
    let (started, before) = (Instant::now(), RUNS.count());
    while started.elapsed() < time && RUNS.count() < jobs {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (done, took) = (RUNS.count() - before, started.elapsed());
    assert_eq!(RUNS.twice(), 0, "each job runs once");
    done as f64 / took.as_secs_f64()
}

async fn fill<F: Framework>(framework: &F, jobs: u64) {
    let mut publisher = framework.publisher();
    let mut next = 0;
    while next < jobs {
        let end = (next + 1_000).min(jobs);
        if F::publish_all(&mut publisher, (next..end).map(Email::numbered).collect()).await.is_none() {
            return fill_one_by_one(framework, jobs).await;
        }
        next = end;
    }
}

async fn fill_one_by_one<F: Framework>(framework: &F, jobs: u64) {
    let mut filling = JoinSet::new();
    for task in 0..PUBLISHERS {
        let mut publisher = framework.publisher();
        filling.spawn(async move {
            for number in (task..jobs).step_by(PUBLISHERS as usize) {
                F::publish(&mut publisher, Email::numbered(number)).await;
            }
        });
    }
    filling.join_all().await;
}

/// Each job is published once the one before has begun, so the worker is idle.
/// Where that takes long, half a minute of it is enough.
async fn pickup<F: Framework>(framework: &F, jobs: u64) -> Vec<f64> {
    RUNS.keep_times();
    framework.work(4).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (mut publisher, started) = (framework.publisher(), Instant::now());
    let mut published = Vec::new();
    for number in 0..jobs {
        if number > 1 && started.elapsed() > Duration::from_secs(30) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        published.push(now());
        F::publish(&mut publisher, Email::numbered(number)).await;
        RUNS.wait(number + 1, LONGEST_PICKUP).await;
    }
    let began = RUNS.began();
    // The first one finds cold caches.
    let late = |(number, at): (u64, u64)| at.saturating_sub(published[number as usize]) as f64 / 1e6;
    began.into_iter().filter(|(number, _)| *number > 0).map(late).collect()
}
