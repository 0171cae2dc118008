//! Collects the metrics for Prometheus.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::process::fork::PerProcess;
use crate::sync::lock;

/// Bucket bounds in seconds: from a job that only writes a line to one that runs for hours.
const BUCKETS: [f64; 14] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0];

/// Kept per process: the tables of a recorder have locks, which a thread of the parent may hold.
static RECORDERS: PerProcess<PrometheusRecorder> = PerProcess::new();

/// Hands metrics to the recorder of this process. A fork that serves no metrics has none, and counts nothing.
struct OfThisProcess;

/// Starts collecting metrics, unless the program has another recorder. There is one recorder for the whole process.
pub(crate) fn install() -> Option<PrometheusHandle> {
    static INSTALLING: PerProcess<Mutex<()>> = PerProcess::new();
    static IS_INSTALLED: AtomicBool = AtomicBool::new(false);
    let _installing = lock(INSTALLING.get());
    let handle = RECORDERS.get_or_init(recorder).handle();
    if !IS_INSTALLED.load(Ordering::SeqCst) {
        metrics::set_global_recorder(OfThisProcess).ok()?;
        IS_INSTALLED.store(true, Ordering::SeqCst);
    }
    Some(handle)
}

fn recorder() -> PrometheusRecorder {
    let builder = PrometheusBuilder::new().set_buckets(&BUCKETS);
    builder.expect("there are buckets").build_recorder()
}

impl Recorder for OfThisProcess {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        if let Some(recorder) = RECORDERS.of_this_process() {
            recorder.describe_counter(key, unit, description);
        }
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        if let Some(recorder) = RECORDERS.of_this_process() {
            recorder.describe_gauge(key, unit, description);
        }
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        if let Some(recorder) = RECORDERS.of_this_process() {
            recorder.describe_histogram(key, unit, description);
        }
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        RECORDERS.of_this_process().map_or_else(Counter::noop, |recorder| recorder.register_counter(key, metadata))
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        RECORDERS.of_this_process().map_or_else(Gauge::noop, |recorder| recorder.register_gauge(key, metadata))
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        RECORDERS.of_this_process().map_or_else(Histogram::noop, |recorder| recorder.register_histogram(key, metadata))
    }
}
