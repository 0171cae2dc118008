//! The one source of live updates for all open pages.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, Semaphore};

/// For how long all open pages share an answer.
const SHARED_FOR: Duration = Duration::from_millis(500);

/// Maximum number of streams.
pub(super) const STREAMS: usize = 64;

/// Maximum number of streams that last. A browser that has them all keeps two of its connections for pages.
const LASTING: usize = 4;

/// The streams of one dashboard, and the last answer.
pub(super) struct Pulse {
    pub(super) streams: Arc<Semaphore>,
    /// The streams that stay open.
    pub(super) lasting: Arc<Semaphore>,
    /// The last mark, or `None` if the queue did not answer. Locked while the queue is asked, so that one stream asks
    /// for all.
    last: Mutex<Option<(Option<u64>, Instant)>>,
}

impl Default for Pulse {
    fn default() -> Self {
        let [streams, lasting] = [STREAMS, LASTING].map(|most| Arc::new(Semaphore::new(most)));
        Self { streams, lasting, last: Mutex::default() }
    }
}

impl Pulse {
    /// Returns the last mark if it is recent, otherwise asks for it.
    pub(super) async fn shared(&self, ask: impl Future<Output = Option<u64>>) -> Option<u64> {
        let mut last = self.last.lock().await;
        if let Some((mark, at)) = *last
            && at.elapsed() < SHARED_FOR
        {
            return mark;
        }
        let mark = ask.await;
        *last = Some((mark, Instant::now()));
        mark
    }
}
