//! `/events`: notifies open pages when to refresh.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;

use super::site::Site;

/// How often an open page reads the counts.
const INTERVAL: Duration = Duration::from_secs(2);

/// Sends server-sent events: `change` when the counts have changed, otherwise a comment, so that both ends notice a
/// broken connection.
///
/// <https://html.spec.whatwg.org/multipage/server-sent-events.html>
pub(super) async fn events(State(site): State<Arc<Site>>) -> Response {
    let first = Bytes::from_static(b"retry: 2000\n\n");
    let begin = stream::once(async { Ok::<_, Infallible>(first) });
    let changes = stream::unfold((site, None), |(site, before)| async move {
        tokio::time::sleep(INTERVAL).await;
        let counts = site.counts.clone();
        let now = site.ask(move |queue| Ok(mark(&counts.read(queue)?))).await.ok();
        let text = match now {
            None => "event: problem\ndata: the queue does not answer\n\n",
            Some(mark) if before == Some(mark) => ": the same\n\n",
            Some(_) => "event: change\ndata: \n\n",
        };
        Some((Ok(Bytes::from_static(text.as_bytes())), (site, now)))
    });
    let body = Body::from_stream(stream::StreamExt::chain(begin, changes));
    ([(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")], body).into_response()
}

/// Returns a hash of the counts.
fn mark(stats: &crate::queue::Stats) -> u64 {
    let mut hasher = DefaultHasher::new();
    // The charts advance each minute.
    (chrono::Utc::now().timestamp() / 60).hash(&mut hasher);
    for counts in &stats.counts {
        (&counts.queue, &counts.request_type).hash(&mut hasher);
        [counts.ready, counts.delayed, counts.reserved, counts.buried].hash(&mut hasher);
    }
    for paused in &stats.paused {
        (&paused.queue, paused.until.timestamp_micros()).hash(&mut hasher);
    }
    for totals in &stats.totals {
        (totals.published, totals.finished).hash(&mut hasher);
    }
    hasher.finish()
}
