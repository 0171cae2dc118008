//! `/events`: notifies open pages when to refresh.
//!
//! # Invariants
//! - However many pages are open, the queue is asked about twice a second at most.
//! - Each stream ends soon, so that a server that is to stop does. The script of the page opens another.
//! - A browser has six connections to a server for all its windows, and a stream takes one of them. So only a few
//!   streams last; the others answer and end, which leaves connections for the pages themselves.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use super::html::{Problem, Visit};
use super::pulse::STREAMS;
use super::site::Site;
use super::workers;
use crate::queue::{Schedules, Stats, WorkerEntry};

/// How often an open page asks whether anything has changed.
const INTERVAL: Duration = Duration::from_secs(2);

/// How long a stream lasts, if it does.
const LASTS: Duration = Duration::from_secs(20);

/// One stream.
struct Stream {
    site: Arc<Site>,
    /// The mark that its page knows.
    known: Option<u64>,
    /// When it ends; `None` if it ends with its first answer.
    until: Option<Instant>,
    has_answered: bool,
    _permit: OwnedSemaphorePermit,
    _lasting: Option<OwnedSemaphorePermit>,
}

impl Stream {
    /// Waits until the next answer is due. Returns false if the stream ends instead.
    async fn wait(&self) -> bool {
        let Some(until) = self.until else { return !self.has_answered };
        tokio::time::sleep(INTERVAL).await;
        Instant::now() < until
    }

    /// Returns what the page is told.
    async fn answer(&mut self) -> String {
        self.has_answered = true;
        match mark(&self.site).await {
            None => "event: problem\ndata: the queue does not answer\n\n".to_owned(),
            Some(mark) if self.known == Some(mark) => ": the same\n\n".to_owned(),
            Some(mark) => {
                self.known = Some(mark);
                format!("id: {mark}\nevent: change\ndata: \n\n")
            }
        }
    }
}

/// Sends server-sent events: `change` when something has changed, otherwise a comment, so that both ends notice a
/// broken connection. The id of an event is the mark of what it announces; a browser that connects again sends it back.
///
/// <https://html.spec.whatwg.org/multipage/server-sent-events.html>
pub(super) async fn events(State(site): State<Arc<Site>>, visit: Visit, headers: HeaderMap) -> Response {
    let Ok(permit) = site.pulse.streams.clone().try_acquire_owned() else {
        let text = format!("{STREAMS} pages are open already: this one is not refreshed");
        let mut answer = Problem::new(StatusCode::SERVICE_UNAVAILABLE, text).page(&visit);
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        return answer;
    };
    let known = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let lasting = site.pulse.lasting.clone().try_acquire_owned().ok();
    let until = lasting.is_some().then(|| Instant::now() + LASTS);
    let stream = Stream { site, known, until, has_answered: false, _permit: permit, _lasting: lasting };
    let first = Bytes::from_static(b"retry: 2000\n\n");
    let begin = stream::once(async { Ok::<_, Infallible>(first) });
    let changes = stream::unfold(stream, |mut stream| async move {
        if !stream.wait().await {
            return None;
        }
        let text = stream.answer().await;
        Some((Ok(Bytes::from(text)), stream))
    });
    let body = Body::from_stream(stream::StreamExt::chain(begin, changes));
    ([(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")], body).into_response()
}

/// Returns a hash of what the pages show, which all streams share for a moment. `None` if the queue does not answer.
async fn mark(site: &Site) -> Option<u64> {
    let counts = site.counts.clone();
    let asked = site.ask(move |queue| {
        let mut hasher = DefaultHasher::new();
        // A change that no count shows, such as another priority: here, and anywhere else.
        counts.changes().hash(&mut hasher);
        queue.change_mark()?.hash(&mut hasher);
        hash_stats(&counts.read(queue)?, &mut hasher);
        hash_workers(&workers::read(queue)?.unwrap_or_default(), &mut hasher);
        if let Some(store) = queue.schedules() {
            hash_schedules(&store.read_schedules()?, &mut hasher);
        }
        Ok(hasher.finish())
    });
    site.pulse.shared(async { asked.await.ok() }).await
}

fn hash_stats(stats: &Stats, hasher: &mut DefaultHasher) {
    // The charts advance each minute.
    (chrono::Utc::now().timestamp() / 60).hash(hasher);
    for counts in &stats.counts {
        (&counts.queue, &counts.request_type).hash(hasher);
        [counts.ready, counts.delayed, counts.reserved, counts.buried].hash(hasher);
    }
    for paused in &stats.paused {
        (&paused.queue, paused.until.timestamp_micros()).hash(hasher);
    }
    for totals in &stats.totals {
        (totals.published, totals.finished).hash(hasher);
    }
    for unreachable in &stats.unreachable {
        unreachable.server.hash(hasher);
    }
}

fn hash_workers(workers: &[WorkerEntry], hasher: &mut DefaultHasher) {
    for worker in workers {
        worker.id.hash(hasher);
        for job in &worker.running {
            (job.id.as_str(), job.attempt, job.cancelled).hash(hasher);
            job.progress.as_ref().map(|progress| progress.at.timestamp_micros()).hash(hasher);
        }
    }
}

fn hash_schedules(schedules: &Schedules, hasher: &mut DefaultHasher) {
    for entry in &schedules.entries {
        (&entry.name, &entry.text, entry.next, entry.last).hash(hasher);
    }
    schedules.paused.hash(hasher);
}
