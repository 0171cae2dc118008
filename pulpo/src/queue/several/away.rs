//! Leaves a server alone that did not answer, and asks it in the background until it does.

use std::sync::Arc;
use std::time::Duration;

use super::server::Told;
use super::shared::Shared;
use crate::clock::Clock as _;
use crate::message::MessageId;
use crate::queue::QueueError;

impl Shared {
    /// Records and reports that a call to this server, which began at this time, has failed. While the server is away
    /// already, only the thread that asks it counts: many callers may fail at once.
    pub(super) fn failed(self: &Arc<Self>, at: usize, error: &QueueError, began: Duration, told: Told) {
        let server = &self.servers[at];
        let Some(is_asked) = server.health().fails(error, began, self.clock.uptime()) else { return };
        self.report(at, error, told);
        self.forget_identity(at);
        if !is_asked {
            self.ask_in_background(at);
        }
    }

    /// Starts the thread that asks a server until it answers.
    fn ask_in_background(self: &Arc<Self>, at: usize) {
        let (shared, clock) = (Arc::downgrade(self), self.clock);
        let server = &self.servers[at];
        let (health, queue, identify) = (server.health().clone(), server.queue.clone(), server.identify.clone());
        let ask = move || {
            while health.rest(clock.uptime()) {
                let began = clock.uptime();
                // No queue gives this id, and each must look for it.
                let peek = || queue.peek(&MessageId::from("0")).map(|_| None);
                let told = identify.as_ref().map_or_else(peek, |identify| identify());
                let Some(shared) = shared.upgrade() else { return };
                let told = told.and_then(|identity| shared.identified(at, identity));
                let (server, now) = (&shared.servers[at], clock.uptime());
                match told {
                    Ok(()) => server.is_back(now),
                    Err(error) => {
                        if health.fails_again(&error, began, now) {
                            shared.report(at, &error, Told::Nobody);
                        }
                    }
                }
            }
            // Another caller may have found that it is back.
            if let Some(shared) = shared.upgrade() {
                shared.identify_again(at);
            }
        };
        let thread = std::thread::Builder::new().name("pulpo-server-away".to_owned()).spawn(ask);
        if let Err(error) = thread {
            tracing::warn!(%error, "no thread to ask a server that is away: each caller asks it");
            server.health().is_not_asked();
        }
    }
}
