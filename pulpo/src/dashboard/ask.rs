//! Runs queries of the queue, which may block.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::html::Problem;
use crate::instance::Pulpo;
use crate::queue::QueueError;
use crate::report::chain;

/// Maximum number of concurrent queries, so that a dashboard does not slow down the workers.
const AT_A_TIME: usize = 2;

/// How long a page waits for its query.
const PATIENCE: Duration = Duration::from_secs(10);

/// Limits the number of concurrent queries.
pub(super) struct Questions(Arc<Semaphore>);

impl Default for Questions {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_A_TIME)))
    }
}

impl Questions {
    /// Queries the queue on a thread that may block. A query that never returns keeps its permit, so that threads do
    /// not pile up.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        pulpo: &Pulpo,
        question: impl FnOnce(&Pulpo) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<T, Problem> {
        let (places, pulpo) = (self.0.clone(), pulpo.clone());
        let answer = timeout(PATIENCE, async {
            let place = places.acquire_owned().await;
            let asked = spawn_blocking(move || {
                let answer = question(&pulpo);
                drop(place);
                answer
            });
            asked.await
        });
        let unavailable = |text: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, text);
        match answer.await {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(Ok(Err(error @ QueueError::Unsupported(_)))) => {
                Err(Problem::new(StatusCode::NOT_IMPLEMENTED, chain(&error)))
            }
            // Faults of the request, not of the queue.
            Ok(Ok(Err(error @ QueueError::BadQueueName { .. }))) => {
                Err(Problem::new(StatusCode::BAD_REQUEST, chain(&error)))
            }
            Ok(Ok(Err(error @ QueueError::NoSuchQueue { .. }))) => {
                Err(Problem::new(StatusCode::NOT_FOUND, chain(&error)))
            }
            Ok(Ok(Err(error @ QueueError::Unavailable { .. }))) => {
                Err(unavailable(format!("the queue does not answer: {}", chain(&error))))
            }
            // It does answer, and refuses: for instance because it is full.
            Ok(Ok(Err(error))) => Err(unavailable(chain(&error))),
            Ok(Err(_)) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the query panicked")),
            Err(_) => Err(unavailable(format!("the queue did not answer within {PATIENCE:?}"))),
        }
    }
}
