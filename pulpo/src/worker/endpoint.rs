//! What a worker answers over HTTP: its metrics, whether it is alive, and
//! whether its queue is.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tiny_http::{Header, Request, Response, Server};

use super::Shared;
use super::monitor::Monitor;
use crate::message::MessageId;
use crate::queue::QueueAdapter;
use crate::report::chain;
use crate::telemetry;

/// How long the queue has for its answer.
const BOUND: Duration = Duration::from_secs(2);

/// How often what was measured is put together, if nobody asks for it.
const UPKEEP: Duration = Duration::from_secs(5);

/// In seconds: from a job that only writes a line to one that runs for hours.
const BUCKETS: [f64; 14] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0];

/// Answers until it is dropped.
pub(super) struct Endpoint {
    server: Arc<Server>,
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Collects what is counted from now on, if no other recorder of the program
/// does. There is one for the whole process.
pub(super) fn install_recorder() -> Option<PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let install = || {
        let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS).ok()?.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).ok().map(|()| handle)
    };
    RECORDER.get_or_init(install).clone()
}

impl Endpoint {
    /// Listens at this address.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub(super) fn start(
        address: SocketAddr,
        shared: &Arc<Shared>,
        monitor: &Arc<Monitor>,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let server = Arc::new(Server::http(address)?);
        let over = Arc::new(AtomicBool::new(false));
        let recorder = install_recorder();
        if recorder.is_none() {
            tracing::warn!("the program has a metrics recorder of its own: /metrics has nothing to tell");
        }
        let answers = Answers { shared: shared.clone(), monitor: monitor.clone(), recorder, asking: Arc::default() };
        let (listening, ending) = (server.clone(), over.clone());
        let thread = thread::Builder::new().name("pulpo-http".to_owned()).spawn(move || {
            while !ending.load(Ordering::SeqCst) {
                match listening.recv_timeout(UPKEEP) {
                    Ok(Some(request)) => answers.answer(request),
                    Ok(None) => answers.upkeep(),
                    Err(error) => tracing::debug!(error = chain(&error), "a request came to nothing"),
                }
            }
        })?;
        tracing::info!(address = %server.server_addr(), "answering /metrics, /healthz and /readyz");
        Ok(Self { server, over, thread: Some(thread) })
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.server.unblock();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Answers {
    shared: Arc<Shared>,
    monitor: Arc<Monitor>,
    recorder: Option<PrometheusHandle>,
    /// Whether the queue is asked something that it has not answered yet.
    asking: Arc<AtomicBool>,
}

impl Answers {
    fn answer(&self, request: Request) {
        let path = request.url().split('?').next().unwrap_or_default().to_owned();
        let (status, text) = match path.as_str() {
            "/metrics" => self.metrics(),
            "/healthz" => match self.monitor.stuck() {
                None => (200, "alive\n".to_owned()),
                Some(why) => (503, format!("stuck: {why}\n")),
            },
            "/readyz" => self.readiness(),
            _ => (404, "there are /metrics, /healthz and /readyz\n".to_owned()),
        };
        let kind = if path == "/metrics" && status == 200 { "text/plain; version=0.0.4" } else { "text/plain" };
        let mut response = Response::from_string(text).with_status_code(status);
        if let Ok(header) = Header::from_bytes("Content-Type", kind) {
            response.add_header(header);
        }
        // Who asked may be gone.
        let _ = request.respond(response);
    }

    fn upkeep(&self) {
        if let Some(recorder) = &self.recorder {
            recorder.run_upkeep();
        }
    }

    fn metrics(&self) -> (u16, String) {
        let Some(recorder) = &self.recorder else {
            return (501, "the program has a metrics recorder of its own\n".to_owned());
        };
        let queues = self.shared.queues.clone();
        let answered = self.ask(move |queue| telemetry::measure(queue, &queues));
        telemetry::reachable(matches!(answered, Some(Ok(()))));
        recorder.run_upkeep();
        (200, recorder.render())
    }

    fn readiness(&self) -> (u16, String) {
        if self.shared.stop.requested() {
            return (503, "the worker stops\n".to_owned());
        }
        // No queue gives this id, and each must look for it.
        match self.ask(|queue| queue.peek(&MessageId::from("0")).map(drop)) {
            Some(Ok(())) => (200, "ready\n".to_owned()),
            Some(Err(error)) => (503, format!("the queue does not answer: {}\n", chain(&error))),
            None => (503, format!("the queue did not answer within {BOUND:?}\n")),
        }
    }

    /// Asks the queue, on a thread of its own; `None` if it takes too long, or
    /// is still at the last question.
    fn ask<R: Send + 'static>(&self, question: impl FnOnce(&dyn QueueAdapter) -> R + Send + 'static) -> Option<R> {
        if self.asking.swap(true, Ordering::SeqCst) {
            return None;
        }
        let (answer, answered) = mpsc::channel();
        let (queue, asking) = (self.shared.queue.clone(), self.asking.clone());
        let asked = thread::Builder::new().name("pulpo-http-queue".to_owned()).spawn(move || {
            let _ = answer.send(question(&*queue));
            asking.store(false, Ordering::SeqCst);
        });
        if asked.is_err() {
            self.asking.store(false, Ordering::SeqCst);
        }
        answered.recv_timeout(BOUND).ok()
    }
}
