//! The metrics, recorded through the facade `metrics`: their names and descriptions. To collect them, install a
//! recorder; without one they cost next to nothing.
//!
//! `docs/metrics.md` describes each metric.

use metrics::Unit;

#[cfg(feature = "http")]
pub(crate) mod prometheus;
mod queues;

#[cfg(feature = "http")]
pub(crate) use queues::Kind;
pub(crate) use queues::QueueGauges;

/// Jobs that were put into a queue, by request type and queue.
pub(crate) const PUBLISHED: &str = "pulpo_jobs_published_total";
/// Runs of handlers, by request type.
pub(crate) const STARTED: &str = "pulpo_jobs_started_total";
/// Jobs done.
pub(crate) const DONE: &str = "pulpo_jobs_done_total";
/// Runs that failed, or could not begin, and are tried again.
pub(crate) const RETRIED: &str = "pulpo_jobs_retried_total";
/// Jobs kept for a person.
pub(crate) const BURIED: &str = "pulpo_jobs_buried_total";
/// Running jobs that a person cancelled, and that were buried for that.
pub(crate) const CANCELLED: &str = "pulpo_jobs_cancelled_total";
/// Jobs deleted without a run because their expiration had passed.
pub(crate) const EXPIRED: &str = "pulpo_jobs_expired_total";
/// Jobs given back uncounted when the worker stopped.
pub(crate) const RELEASED: &str = "pulpo_jobs_released_total";
/// Runs whose lease was lost, so that their result did not count.
pub(crate) const LOST: &str = "pulpo_jobs_lost_total";
/// Duration of runs.
pub(crate) const RUN_SECONDS: &str = "pulpo_job_run_seconds";
/// Time from when a job was due to its first run.
pub(crate) const WAIT_SECONDS: &str = "pulpo_job_wait_seconds";
/// Jobs that a lane is holding.
pub(crate) const IN_FLIGHT: &str = "pulpo_jobs_in_flight";
/// Lanes of the worker that take jobs.
pub(crate) const LANES: &str = "pulpo_worker_lanes";
/// Runs that exceeded their timeout and have not returned, while other lanes take their place.
pub(crate) const ABANDONED: &str = "pulpo_worker_abandoned_runs";
/// Messages in the queue, by queue, request type and state.
pub(crate) const QUEUE_MESSAGES: &str = "pulpo_queue_messages";
/// Wait of the oldest ready message, by queue.
pub(crate) const QUEUE_OLDEST_READY: &str = "pulpo_queue_oldest_ready_seconds";
/// Unix time of the last count of messages.
pub(crate) const QUEUE_MEASURED: &str = "pulpo_queue_measured_timestamp_seconds";
/// Whether the queue answered the last request: 1 or 0.
pub(crate) const QUEUE_REACHABLE: &str = "pulpo_queue_reachable";
/// Servers of the queue that did not answer the last request for counts.
pub(crate) const QUEUE_SERVERS_UNREACHABLE: &str = "pulpo_queue_servers_unreachable";
/// Messages in the spool that wait for a server.
pub(crate) const SPOOL_MESSAGES: &str = "pulpo_spool_messages";
/// Wait of the oldest message in the spool.
pub(crate) const SPOOL_OLDEST: &str = "pulpo_spool_oldest_seconds";
/// Messages in the spool that the queue has refused for good.
pub(crate) const SPOOL_REFUSED: &str = "pulpo_spool_refused_messages";

/// The counters, with their descriptions.
pub(crate) const COUNTERS: [(&str, &str); 9] = [
    (PUBLISHED, "jobs that this process has published"),
    (STARTED, "messages passed to a handler"),
    (DONE, "jobs done"),
    (RETRIED, "runs that failed or could not begin, and are retried"),
    (BURIED, "jobs buried because they failed"),
    (CANCELLED, "running jobs that a person cancelled"),
    (EXPIRED, "jobs deleted without a run because they had expired"),
    (RELEASED, "jobs put back without counting an attempt when the worker stopped"),
    (LOST, "runs that lost their lease, so that their result did not count"),
];

/// The histograms, in seconds.
pub(crate) const HISTOGRAMS: [(&str, &str); 2] =
    [(RUN_SECONDS, "duration of runs"), (WAIT_SECONDS, "how long jobs waited for their first run after they were due")];

/// The gauges.
pub(crate) const GAUGES: [(&str, &str); 11] = [
    (IN_FLIGHT, "jobs that lanes are working on"),
    (LANES, "lanes of the worker that take jobs"),
    (ABANDONED, "runs that have exceeded their timeout and not returned"),
    (QUEUE_MESSAGES, "messages in the queue"),
    (QUEUE_OLDEST_READY, "how long the oldest ready message has waited since it was due"),
    (QUEUE_MEASURED, "when the messages were last counted, in Unix time"),
    (QUEUE_REACHABLE, "1 if the queue, or one of its servers, answered the last query within two seconds, else 0"),
    (QUEUE_SERVERS_UNREACHABLE, "servers of the queue that did not answer when the messages were last counted"),
    (SPOOL_MESSAGES, "messages in the spool that wait for a server"),
    (SPOOL_OLDEST, "how long the oldest message in the spool has waited"),
    (SPOOL_REFUSED, "messages in the spool that the queue has refused for good"),
];

/// The request type under which messages without a handler here are counted. They get no label of their own, because
/// anybody can invent any number of types.
pub(crate) const UNKNOWN: &str = "(unknown)";

/// Describes each metric to the recorder, if there is one.
pub(crate) fn describe() {
    for (name, text) in COUNTERS {
        metrics::describe_counter!(name, Unit::Count, text);
    }
    for (name, text) in HISTOGRAMS {
        metrics::describe_histogram!(name, Unit::Seconds, text);
    }
    for (name, text) in GAUGES {
        let unit = if name.ends_with("_seconds") { Unit::Seconds } else { Unit::Count };
        metrics::describe_gauge!(name, unit, text);
    }
}

/// Counts published jobs.
pub(crate) fn published(request_type: &str, queue: &str, jobs: usize) {
    let labels = [("request_type", request_type.to_owned()), ("queue", queue.to_owned())];
    metrics::counter!(PUBLISHED, &labels).increment(jobs as u64);
}

/// Records whether the queue answered.
pub(crate) fn reachable(answered: bool) {
    metrics::gauge!(QUEUE_REACHABLE).set(if answered { 1.0 } else { 0.0 });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_each_metric_with_its_kind_and_description() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        let documentation = std::fs::read_to_string(path).expect("the documentation");
        let rows: Vec<_> = documentation.lines().filter_map(|line| line.strip_prefix("| `pulpo_")).collect();
        let all = [("counter", &COUNTERS[..]), ("histogram", &HISTOGRAMS[..]), ("gauge", &GAUGES[..])];
        let expected: Vec<_> = all
            .into_iter()
            .flat_map(|(kind, named)| named.iter().map(move |(name, text)| (format!("{name}` | {kind} | "), *text)))
            .collect();
        assert_eq!(rows.len(), expected.len(), "{rows:#?}");
        for (row, (begin, text)) in rows.iter().zip(expected) {
            assert!(format!("pulpo_{row}").starts_with(&begin), "expected {begin}, got {row}");
            // The page may say more, and link to other pages.
            let meaning = row.rsplit(" | ").next().unwrap_or_default();
            let parts = meaning.split("](").enumerate();
            let plain =
                parts.map(|(n, part)| if n == 0 { part } else { part.split_once(')').map_or(part, |(_, rest)| rest) });
            let plain = plain.collect::<String>().replace('[', "");
            assert!(plain.starts_with(text), "expected {text:?}, got {plain:?}");
        }
    }

    #[test]
    fn the_documentation_asks_only_for_metrics_that_are_there() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        let documentation = std::fs::read_to_string(path).expect("the documentation");
        let all = COUNTERS.iter().chain(&HISTOGRAMS).chain(&GAUGES);
        let all: Vec<_> = all.map(|(name, _)| *name).collect();
        let words = documentation.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("pulpo_")) {
            assert!(all.contains(&word), "{word} is not a metric");
        }
    }
}
