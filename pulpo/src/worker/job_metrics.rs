//! The metrics of the jobs of one request type.
//!
//! The handles are fetched when the worker starts: so a job pays for no lookup by name, and nearly nothing if no
//! recorder is installed.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::summary::SettledAs;
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

    /// Counts a run that begins; for a first run, records how long the job has waited.
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

    /// Counts a message by its outcome.
    pub(super) fn settled(&self, settled: SettledAs) {
        let counter = match settled {
            SettledAs::Done => &self.done,
            SettledAs::Retried => &self.retried,
            SettledAs::Released => &self.released,
            SettledAs::Expired => &self.expired,
            SettledAs::Buried => &self.buried,
            SettledAs::Cancelled => &self.cancelled,
            SettledAs::LeaseLost => &self.lost,
        };
        counter.increment(1);
    }

    /// Counts a job as in flight until the guard is dropped.
    pub(super) fn in_flight_guard(&self) -> InFlightGuard {
        self.in_flight.increment(1.0);
        InFlightGuard(self.in_flight.clone())
    }
}

/// One job in flight.
pub(super) struct InFlightGuard(Gauge);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
