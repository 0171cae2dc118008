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
use crate::queue::spool::Spooled;
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
    let answers = Answers { shared: shared.clone(), metrics, reach: reach(&shared.queue) };
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
    /// Whether the queue answers, and what is degraded.
    reach: Question<Option<String>>,
}

/// The queries behind `/metrics`; absent if the program has another recorder.
struct Metrics {
    /// Sets the gauges of the queue's contents.
    measure: Question<()>,
    /// Renders all metrics.
    render: Question<Bytes>,
}

impl Metrics {
    fn new(shared: &Shared) -> Option<Self> {
        let recorder = prometheus::install()?;
        let Shared { queue, clock, queues, registry, options, .. } = shared;
        let expected = expected(registry, options, queues);
        let gauges = QueueGauges::new(queue.clone(), clock.clone(), Some(queues.clone()), expected);
        let measure = move || gauges.record().map_err(|error| chain(&error));
        let render = move || {
            recorder.run_upkeep();
            Ok(Bytes::from(recorder.render()))
        };
        Some(Self {
            measure: Question::new("pulpo-http-queue", measure),
            render: Question::new("pulpo-http-text", render),
        })
    }
}

fn reach(queue: &Arc<dyn QueueAdapter>) -> Question<Option<String>> {
    let queue = queue.clone();
    let ask = move || {
        // No queue assigns this id, and each must search for it.
        let reached = queue.peek(&MessageId::from("0")).map(drop).map_err(|error| chain(&error));
        match queue.spool() {
            None => reached.map(|()| None),
            Some(spool) => spool.spooled().map(|spooled| degradation(reached, &spooled)).map_err(|error| chain(&error)),
        }
    };
    Question::new("pulpo-http-queue", ask)
}

/// Returns what is degraded while publications are kept in the spool.
fn degradation(reached: Result<(), String>, spooled: &Spooled) -> Option<String> {
    let waited = spooled.oldest.and_then(|since| (chrono::Utc::now() - since).to_std().ok());
    let oldest = waited.map(|waited| format!(", the oldest for {}", rough(waited))).unwrap_or_default();
    let spool = format!("{} messages wait in the spool{oldest}", spooled.waiting);
    match reached {
        Ok(()) if spooled.waiting == 0 => None,
        Ok(()) => Some(spool),
        Err(error) => Some(format!("the queue does not answer: {error}; {spool}")),
    }
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
        return unavailable("the worker stops\n".to_owned());
    }
    match answers.reach.ask(QUEUE_PATIENCE).await {
        Reply::Answered(Ok(None)) => "ready\n".into_response(),
        // Publications are kept, so this is not an outage.
        Reply::Answered(Ok(Some(degradation))) => format!("ready, degraded: {degradation}\n").into_response(),
        Reply::Answered(Err(error)) => unavailable(format!("the queue does not answer: {error}\n")),
        Reply::Late { answered } => {
            let last = answered.map(|ago| format!("; it last did {} ago", rough(ago))).unwrap_or_default();
            unavailable(format!("the queue did not answer within {QUEUE_PATIENCE:?}{last}\n"))
        }
    }
}

async fn metrics_page(State(answers): State<Arc<Answers>>) -> Response {
    let Some(metrics) = &answers.metrics else {
        return (StatusCode::NOT_IMPLEMENTED, "the program has a metrics recorder of its own\n").into_response();
    };
    // Both at once: a queue that takes long to count is reachable.
    let (measured, reached) = (metrics.measure.ask(QUEUE_PATIENCE), answers.reach.ask(QUEUE_PATIENCE));
    // Later results are in the gauges then; until they arrive, the gauges have the time of the last ones.
    let refused = matches!(measured.await, Reply::Answered(Err(_)));
    telemetry::reachable(!refused && matches!(reached.await, Reply::Answered(Ok(_))));
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
