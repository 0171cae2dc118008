//! The HTTP endpoint of a worker: its metrics, whether it is alive, and whether its queue is reachable.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::time::{MissedTickBehavior, interval};

use crate::http::{Limits, Question, Reply, Server};
use crate::message::MessageId;
use crate::queue::QueueAdapter;
use crate::queue::spool::{Spool, Spooled};
use crate::report::{chain, rough};
use crate::telemetry::{self, QueueGauges, prometheus};
use crate::worker::queues::expected;
use crate::worker::shared::Shared;

/// How long to wait for the queue's answer.
const QUEUE_PATIENCE: Duration = Duration::from_secs(2);

/// How long rendering all metrics as text may take.
const RENDER_PATIENCE: Duration = Duration::from_secs(10);

/// How often to aggregate the measurements if they are not requested.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Listens at this address, and answers until the returned value is dropped. `beside` answers all other paths.
///
/// # Errors
/// If the address cannot be bound.
pub(in crate::worker) fn start(
    address: SocketAddr,
    shared: &Arc<Shared>,
    beside: Option<Router>,
) -> io::Result<Server> {
    let metrics = Metrics::new(shared);
    if metrics.is_none() {
        tracing::warn!("the program has its own metrics recorder: /metrics is not available");
    }
    let upkeep = upkeep();
    let (reach, spool) = (reach(&shared.queue), spooled(&shared.queue));
    let answers = Answers { shared: shared.clone(), metrics, reach, spool };
    let pages = Router::new()
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(health_page))
        .route("/readyz", get(readiness_page))
        .with_state(Arc::new(answers));
    let others = beside.is_some();
    let pages = match beside {
        Some(router) => pages.fallback_service(router),
        None => pages.fallback(async || (StatusCode::NOT_FOUND, "there are /metrics, /healthz and /readyz\n")),
    };
    let server = Server::start(address, pages, Limits::default(), upkeep)?;
    let address = server.address();
    let beside = if others { " and the dashboard" } else { "" };
    tracing::info!(%address, "answering /metrics, /healthz, /readyz{beside}");
    Ok(server)
}

struct Answers {
    shared: Arc<Shared>,
    metrics: Option<Metrics>,
    /// Whether the queue answers.
    reach: Question<()>,
    /// The contents of the spool, which answers while the queue does not.
    spool: Option<Question<Spooled>>,
}

/// The queries behind `/metrics`; absent if the program has another recorder.
struct Metrics {
    /// Sets the gauges of the queue's contents.
    measure: Question<()>,
    /// Sets the gauges of the spool.
    spool: Question<()>,
    /// Renders all metrics.
    render: Question<Bytes>,
}

impl Metrics {
    fn new(shared: &Shared) -> Option<Self> {
        let recorder = prometheus::install()?;
        let Shared { queue, clock, queues, registry, options, .. } = shared;
        let expected = expected(registry, options, queues);
        let gauges = Arc::new(QueueGauges::new(queue.clone(), clock.clone(), Some(queues.clone()), expected));
        let of_spool = gauges.clone();
        let measure = move || gauges.record_queue().map_err(|error| chain(&error));
        let spool = move || of_spool.record_spool().map_err(|error| chain(&error));
        let render = move || {
            recorder.run_upkeep();
            Ok(Bytes::from(recorder.render()))
        };
        Some(Self {
            measure: Question::new("pulpo-http-queue", measure),
            spool: Question::new("pulpo-http-spool", spool),
            render: Question::new("pulpo-http-text", render),
        })
    }
}

fn reach(queue: &Arc<dyn QueueAdapter>) -> Question<()> {
    let queue = queue.clone();
    // No queue assigns this id, and each must search for it.
    let ask = move || queue.peek(&MessageId::from("0")).map(drop).map_err(|error| chain(&error));
    Question::new("pulpo-http-queue", ask)
}

fn spooled(queue: &Arc<dyn QueueAdapter>) -> Option<Question<Spooled>> {
    queue.spool()?;
    let queue = queue.clone();
    let count = move || queue.spool().map_or_else(|| Ok(Spooled::default()), Spool::spooled);
    Some(Question::new("pulpo-http-spool", move || count().map_err(|error| chain(&error))))
}

/// Returns why the queue does not answer; `None` if it does.
fn outage(reply: Reply<()>) -> Option<String> {
    match reply {
        Reply::Answered(Ok(())) => None,
        Reply::Answered(Err(error)) => Some(format!("the queue does not answer: {error}")),
        Reply::Late { answered } => {
            let last = answered.map(|ago| format!("; it last did {} ago", rough(ago))).unwrap_or_default();
            Some(format!("the queue did not answer within {QUEUE_PATIENCE:?}{last}"))
        }
    }
}

/// Describes the contents of the spool; `None` if it is empty. The error says why they are unknown.
fn described(reply: Reply<Spooled>) -> Result<Option<String>, String> {
    let spooled = match reply {
        Reply::Answered(Ok(spooled)) => spooled,
        Reply::Answered(Err(error)) => return Err(format!("the spool cannot be read: {error}")),
        Reply::Late { .. } => return Err(format!("the spool was not read within {QUEUE_PATIENCE:?}")),
    };
    let waited = spooled.oldest.and_then(|since| (chrono::Utc::now() - since).to_std().ok());
    let oldest = waited.map(|waited| format!(", the oldest for {}", rough(waited))).unwrap_or_default();
    let text = format!("{} messages wait in the spool{oldest}", spooled.waiting);
    Ok(if spooled.waiting == 0 { None } else { Some(text) })
}

/// Aggregates the measurements, so that they do not pile up.
async fn upkeep() {
    let Some(recorder) = prometheus::install() else { return };
    let mut ticks = interval(UPKEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        recorder.run_upkeep();
    }
}

async fn health_page(State(answers): State<Arc<Answers>>) -> Response {
    match answers.shared.stuck() {
        None => "alive\n".into_response(),
        Some(why) => unavailable(format!("stuck: {why}\n")),
    }
}

async fn readiness_page(State(answers): State<Arc<Answers>>) -> Response {
    if answers.shared.stop.requested() {
        return unavailable("the worker is stopping\n".to_owned());
    }
    // Both at once.
    let reached = answers.reach.ask(QUEUE_PATIENCE);
    let spooled = answers.spool.as_ref().map(|spool| spool.ask(QUEUE_PATIENCE));
    let outage = outage(reached.await);
    let Some(spooled) = spooled else {
        return outage.map_or_else(ready, |outage| unavailable(format!("{outage}\n")));
    };
    match (outage, described(spooled.await)) {
        (None, Ok(None)) => ready(),
        // Publications are kept, so this is not an outage.
        (Some(outage), Ok(waiting)) => {
            let waiting = waiting.unwrap_or_else(|| "0 messages wait in the spool".to_owned());
            degraded(&format!("{outage}; {waiting}"))
        }
        // Publications go to the queue.
        (None, Ok(Some(why)) | Err(why)) => degraded(&why),
        (Some(outage), Err(unread)) => unavailable(format!("{outage}; {unread}\n")),
    }
}

fn ready() -> Response {
    "ready\n".into_response()
}

fn degraded(why: &str) -> Response {
    format!("ready, degraded: {why}\n").into_response()
}

async fn metrics_page(State(answers): State<Arc<Answers>>) -> Response {
    let Some(metrics) = &answers.metrics else {
        return (StatusCode::NOT_IMPLEMENTED, "the program has a metrics recorder of its own\n").into_response();
    };
    // All at once: a queue that takes long to count is reachable.
    let (measured, reached) = (metrics.measure.ask(QUEUE_PATIENCE), answers.reach.ask(QUEUE_PATIENCE));
    let spooled = metrics.spool.ask(QUEUE_PATIENCE);
    // Later results are in the gauges then; until they arrive, the gauges have the time of the last ones.
    let refused = matches!(measured.await, Reply::Answered(Err(_)));
    telemetry::reachable(!refused && matches!(reached.await, Reply::Answered(Ok(()))));
    // `/readyz` reports an error.
    let _ = spooled.await;
    match metrics.render.ask(RENDER_PATIENCE).await {
        Reply::Answered(Ok(text)) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Reply::Answered(Err(error)) => unavailable(format!("the metrics cannot be written: {error}\n")),
        Reply::Late { .. } => unavailable(format!("the metrics were not written within {RENDER_PATIENCE:?}\n")),
    }
}

fn unavailable(why: String) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}
