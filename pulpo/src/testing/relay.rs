//! Jobs that the code under test publishes in a transaction of its own database.

use std::sync::Arc;

use super::TestPulpo;
use super::blocking;
use crate::outbox::{OutboxUrl, Relay, RouteOf};
use crate::registry::Registry;
use crate::report::chain;

impl TestPulpo {
    /// Moves the committed jobs of an outbox to the queue of the test, as a worker with the key `outbox` does, and
    /// returns how many. Call it after code that publishes in a transaction, with `publish_in` or `publish_in_async`:
    ///
    /// ```ignore
    /// let pulpo = TestPulpo::new();
    /// place_order(&pool, "tea").await?; // publishes in its transaction
    /// assert_eq!(pulpo.relay("sqlite:shop.db"), 1);
    /// pulpo.run_next_async().await.unwrap().assert_done();
    /// ```
    ///
    /// The outbox is `sqlite:FILE` or a `postgres://` URL, as in the configuration. A database in memory belongs to one
    /// connection, so use a file.
    ///
    /// # Panics
    /// If this is not the URL of an outbox, or if the outbox cannot be read.
    #[track_caller]
    pub fn relay(&self, outbox: &str) -> u64 {
        // The error does not repeat the text, which may contain a password.
        let url: OutboxUrl = outbox.parse().unwrap_or_else(|error| panic!("cannot relay: {error}"));
        let default_queue = self.options().default_queue.clone();
        let registry = Registry::gather();
        let route_of: RouteOf =
            Arc::new(move |request_type, body| registry.route_of(request_type, body, &default_queue));
        let clock = Arc::new(self.0.clock.clone());
        let poll = self.options().outbox_poll;
        let moved = blocking::run(|| Relay::new(url, self.queue().clone(), route_of, clock, poll).drain());
        moved.unwrap_or_else(|error| panic!("{}", chain(&error)))
    }
}
