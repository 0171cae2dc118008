//! What is counted of the jobs of one request type.
//!
//! The handles are fetched when the worker starts: a job then pays for no
//! name, and nearly nothing where no recorder is installed.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use crate::disposition::Disposition;
use crate::telemetry;

pub(super) struct JobMetrics {
    started: Counter,
    done: Counter,
    retried: Counter,
    buried: Counter,
    expired: Counter,
    released: Counter,
    cancelled: Counter,
    lost: Counter,
    run: Histogram,
    wait: Histogram,
    in_flight: Gauge,
}

impl JobMetrics {
    pub(super) fn new(request_type: &'static str) -> Self {
        let counter = |name: &'static str| counter!(name, "request_type" => request_type);
        Self {
            started: counter(telemetry::STARTED),
            done: counter(telemetry::DONE),
            retried: counter(telemetry::RETRIED),
            buried: counter(telemetry::BURIED),
            expired: counter(telemetry::EXPIRED),
            released: counter(telemetry::RELEASED),
            cancelled: counter(telemetry::CANCELLED),
            lost: counter(telemetry::LOST),
            run: histogram!(telemetry::RUN_SECONDS, "request_type" => request_type),
            wait: histogram!(telemetry::WAIT_SECONDS, "request_type" => request_type),
            in_flight: gauge!(telemetry::IN_FLIGHT, "request_type" => request_type),
        }
    }

    /// A run begins; of a first one, how long the job has waited.
    pub(super) fn started(&self, waited: Option<Duration>) {
        self.started.increment(1);
        if let Some(waited) = waited {
            self.wait.record(waited.as_secs_f64());
        }
    }

    /// Records the duration of a run.
    pub(super) fn ended(&self, took: Duration) {
        self.run.record(took.as_secs_f64());
    }

    /// What became of a job; `None`: nothing, since its lease was lost.
    pub(super) fn settled(&self, disposition: Option<&Disposition>) {
        let counter = match disposition {
            None => &self.lost,
            Some(Disposition::Commit) => &self.done,
            Some(Disposition::Expire) => &self.expired,
            Some(Disposition::LeaveToOthers { .. }) => &self.retried,
            Some(Disposition::Rollback { delay, counted, .. }) if *counted || !delay.is_zero() => &self.retried,
            Some(Disposition::Rollback { .. }) => &self.released,
            Some(Disposition::Bury { .. }) => &self.buried,
        };
        counter.increment(1);
    }

    /// A person has cancelled it: it is buried, and has not failed.
    pub(super) fn cancelled(&self) {
        self.cancelled.increment(1);
    }

    /// One more is in hand, until this is dropped.
    pub(super) fn in_flight_guard(&self) -> InFlightGuard {
        self.in_flight.increment(1.0);
        InFlightGuard(self.in_flight.clone())
    }
}

/// One job that is in hand.
pub(super) struct InFlightGuard(Gauge);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
