//! The table of keys. Each row has a key's name, default and meaning, and how it is read, checked and shown. The keys
//! of adapters come from their registrations. A test compares the page `docs/configuration.md` with this table.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::ConfigError;
use super::layer::Entry;
use super::readers::{dashboard_hosts, dashboard_path, dashboard_token, font, outboxes, rate, schedule_store, spool};
use super::{Config, span};
use crate::message::Priority;
use crate::outbox::OutboxUrl;
use crate::policy::{self, HandlerOptions};
use crate::queue::distinct;
use crate::worker::QueueOptions;

const LANES: RangeInclusive<usize> = 1..=1024;
const SHORTEST: RangeInclusive<Duration> = Duration::from_millis(10)..=span::LONGEST;
const ANY: RangeInclusive<Duration> = Duration::ZERO..=span::LONGEST;
const SOME: RangeInclusive<Duration> = policy::SHORTEST..=span::LONGEST;
const POLL: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
const SECOND: RangeInclusive<Duration> = Duration::from_secs(1)..=span::LONGEST;

/// One of pulpo's own keys. A key of a table is written with a dot; `*` is the name of a handler or a queue.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// As it is shown, or in words.
    pub(super) default: &'static str,
    pub(super) doc: &'static str,
    pub(super) of: Of,
}

/// The object that a key configures.
pub(super) enum Of {
    /// The queue itself, read together with the tables of the adapters.
    Backend { show: fn(&Config) -> String },
    /// This program.
    Program { read: fn(&mut Config, &Entry) -> Result<(), ConfigError>, show: fn(&Config) -> String },
    /// One queue by name.
    Queue { read: fn(&mut QueueOptions, &Entry) -> Result<(), ConfigError> },
    /// One handler by its request type.
    Handler { read: fn(&mut HandlerOptions, &Entry) -> Result<(), ConfigError> },
    /// Nothing: it is known only to be refused with the reason.
    Attribute,
}

/// A key of this program that is a length of time.
macro_rules! time {
    ($($field:ident).+, $range:expr) => {
        Of::Program {
            read: |config, entry| set(&mut config.$($field).+, entry.duration($range)),
            show: |config| time(config.$($field).+),
        }
    };
}

/// A key of this program that is `true` or `false`.
macro_rules! flag {
    ($($field:ident).+) => {
        Of::Program {
            read: |config, entry| set(&mut config.$($field).+, entry.flag()),
            show: |config| config.$($field).+.to_string(),
        }
    };
}

/// The keys before those of the adapters.
pub(super) const FIRST: &[Key] = &[
    Key {
        name: "queue",
        default: "file:./pulpo-data",
        doc: "the URL of the queue, such as `file:FOLDER` or `beanstalkd://HOST:PORT/TUBE`; overrides the other keys \
              of adapters",
        of: Of::Backend { show: |config| config.backend.to_string() },
    },
    Key {
        name: "queue_adapter_type",
        default: "file_queue_adapter",
        doc: "the long form: the table of the adapter, such as `beanstalkd_queue_adapter` or `BeanstalkdQueueAdapter`",
        of: Of::Backend { show: |config| config.backend.table().to_owned() },
    },
];

/// The keys after those of the adapters.
pub(super) const LAST: &[Key] = &[
    Key {
        name: "concurrency",
        default: "one for each core, at least 4",
        doc: "number of lanes of a worker: jobs at the same time, from 1 to 1024",
        of: Of::Program {
            read: |config, entry| set(&mut config.worker.concurrency, entry.whole(LANES)),
            show: |config| config.worker.concurrency.to_string(),
        },
    },
    Key {
        name: "sleep_duration",
        default: "5s",
        doc: "the longest single wait of a lane for a message; it ends at once when a message arrives; at least 10ms",
        of: time!(worker.sleep_duration, SHORTEST),
    },
    Key {
        name: "shutdown_after_number_of_empty_iterations",
        default: "0",
        doc: "a worker exits with code 0 after each of its lanes has waited this many times in a row without a \
              message; 0 means never",
        of: Of::Program {
            read: |config, entry| {
                set(&mut config.worker.shutdown_after_number_of_empty_iterations, entry.whole(0..=u64::MAX))
            },
            show: |config| config.worker.shutdown_after_number_of_empty_iterations.to_string(),
        },
    },
    Key {
        name: "shutdown_grace",
        default: "25s",
        doc: "how long a stop waits for running jobs before they go back to the queue",
        of: time!(worker.shutdown_grace, ANY),
    },
    Key {
        name: "max_abandoned_runs",
        default: "as many as lanes",
        doc: "the largest number of abandoned runs, from 1 to 1024: they exceeded their timeout, and other lanes \
              replaced theirs",
        of: Of::Program {
            read: |config, entry| set(&mut config.worker.max_abandoned_runs, entry.whole(LANES).map(Some)),
            show: |config| shown(config.worker.max_abandoned_runs, "as many as lanes"),
        },
    },
    Key {
        name: "unknown_type_grace",
        default: "10m",
        doc: "how long a message waits for a worker that knows its type, or can read a body of another shape, before \
              it is buried",
        of: time!(worker.unknown_type_grace, ANY),
    },
    Key {
        name: "queues",
        default: "those of the handlers",
        doc: "the queues that a worker serves: a list, or a string with commas; beside tables `[queues.NAME]`, use \
              `enabled`",
        of: Of::Program {
            read: |config, entry| set(&mut config.worker.queues, entry.names().map(|names| distinct(&names))),
            show: |config| match config.worker.queues.as_slice() {
                [] => "those of the handlers".to_owned(),
                queues => queues.join(","),
            },
        },
    },
    Key {
        name: "schedule_store",
        default: "the queue",
        doc: "`file:FOLDER`: where schedules are kept if the queue, such as beanstalkd, cannot; all workers must share \
              the folder",
        of: Of::Program {
            read: |config, entry| set(&mut config.schedule_store, schedule_store(entry)),
            show: |config| shown(config.schedule_store.as_ref(), "the queue"),
        },
    },
    Key {
        name: "enable_banner",
        default: "on a terminal",
        doc: "`true`: a worker always prints its name in big letters at the start; `false`: never",
        of: Of::Program {
            read: |config, entry| set(&mut config.console.enable_banner, entry.flag().map(Some)),
            show: |config| shown(config.console.enable_banner, "on a terminal"),
        },
    },
    Key {
        name: "banner_name",
        default: "the name of the program",
        doc: "the text of the banner",
        of: Of::Program {
            read: |config, entry| set(&mut config.console.banner_name, entry.text().map(Some)),
            show: |config| shown(config.console.banner_name.as_ref(), "the name of the program"),
        },
    },
    Key {
        name: "banner_font",
        default: "standard",
        doc: "the figlet font of the banner: the name of a built-in font, or a file that ends in `.flf`",
        of: Of::Program {
            read: |config, entry| set(&mut config.console.banner_font, font(entry)),
            show: |config| config.console.banner_font.clone(),
        },
    },
    Key {
        name: "enable_output_buffering",
        default: "false",
        doc: "`true`: a worker buffers log lines for up to 100ms, or 64 KiB; `false`: it writes them at once",
        of: flag!(console.enable_output_buffering),
    },
    Key {
        name: "log_format",
        default: "auto",
        doc: "the format of a worker's log: `pretty` (in colour), `plain`, `json`; `auto` is `pretty` on a terminal, \
              else `plain`",
        of: Of::Program {
            read: |config, entry| {
                let format = entry.text()?.parse().map_err(|_| entry.refuse("auto, pretty, plain or json"));
                set(&mut config.console.log_format, format)
            },
            show: |config| config.console.log_format.to_string(),
        },
    },
    Key {
        name: "log_reasons",
        default: "true",
        doc: "`false`: the log omits the texts of errors and panics, which may quote a body; `peek` and `list` still \
              show them",
        of: flag!(worker.log_reasons),
    },
    Key {
        name: "listen",
        default: "nowhere",
        doc: "the address of the dashboard, `/metrics`, `/healthz` and `/readyz`, such as `127.0.0.1:9100`; needs the \
              feature `http`",
        of: Of::Program {
            read: |config, entry| {
                let expected = "an address and a port such as 127.0.0.1:9100";
                let address = entry.text()?.parse().map_err(|_| entry.refuse(expected));
                set(&mut config.worker.listen, address.map(Some))
            },
            show: |config| shown(config.worker.listen, "nowhere"),
        },
    },
    Key {
        name: "outbox",
        default: "none",
        doc: "databases whose outbox a worker empties: `sqlite:FILE`, `postgres://USER@HOST/DATABASE`; a list, or a \
              string with commas",
        of: Of::Program {
            read: |config, entry| set(&mut config.worker.outbox, outboxes(entry)),
            show: |config| match config.worker.outbox.as_slice() {
                [] => "none".to_owned(),
                urls => urls.iter().map(OutboxUrl::to_string).collect::<Vec<_>>().join(","),
            },
        },
    },
    Key {
        name: "outbox_poll",
        default: "100ms",
        doc: "how often a worker checks the outboxes for jobs that other processes have committed, from 1ms to 1h",
        of: time!(worker.outbox_poll, POLL),
    },
    Key {
        name: "keep_done",
        default: "0",
        doc: "how long done and expired messages are kept, with their results, such as `7d`; `0`: not at all",
        of: Of::Program {
            read: |config, entry| set(&mut config.worker.retention.done, entry.duration(ANY).map(Some)),
            show: |config| shown(config.worker.retention.done.map(time), "0"),
        },
    },
    Key {
        name: "keep_buried",
        default: "for ever",
        doc: "how long buried messages are kept, such as `90d`, at least 1s; then a worker deletes them",
        of: Of::Program {
            read: |config, entry| set(&mut config.worker.retention.buried, entry.duration(SECOND).map(Some)),
            show: |config| shown(config.worker.retention.buried.map(time), "for ever"),
        },
    },
    Key {
        name: "dashboard_hosts",
        default: "none",
        doc: "more host names of the dashboard, without a port: a list, or a string with commas",
        of: Of::Program {
            read: |config, entry| set(&mut config.worker.dashboard.hosts, dashboard_hosts(entry)),
            show: |config| match config.worker.dashboard.hosts.as_slice() {
                [] => "none".to_owned(),
                hosts => hosts.join(","),
            },
        },
    },
    Key {
        name: "dashboard_bodies",
        default: "true",
        doc: "`false`: the dashboard hides bodies and results; it still shows the reasons of failures, which may quote \
              them",
        of: flag!(worker.dashboard.bodies),
    },
    Key {
        name: "dashboard_path",
        default: "none",
        doc: "the path at which browsers see the dashboard, such as `/ops/jobs`, behind a proxy that removes it from \
              requests",
        of: Of::Program {
            read: |config, entry| set(&mut config.worker.dashboard.path, dashboard_path(entry)),
            show: |config| match config.worker.dashboard.path.as_str() {
                "" => "none".to_owned(),
                path => path.to_owned(),
            },
        },
    },
    Key {
        name: "dashboard_token",
        default: "none",
        doc: "the token that the dashboard requires, 8 to 300 printable ASCII characters; without it, it is served on \
              loopback only",
        of: Of::Program {
            read: |config, entry| set(&mut config.worker.dashboard.token, dashboard_token(entry).map(Some)),
            show: |config| shown(config.worker.dashboard.token.as_ref().map(|_| "***"), "none"),
        },
    },
    Key {
        name: "spool",
        default: "none",
        doc: "the folder for publications while no server is available, such as `file:./pulpo-spool`; see \
              `docs/operating.md`",
        of: Of::Program {
            read: |config, entry| set(&mut config.spool, spool(entry).map(Some)),
            show: |config| shown(config.spool.as_ref(), "none"),
        },
    },
    Key {
        name: "queues.*.concurrency",
        default: "none",
        doc: "maximum number of jobs of this queue that a worker runs at the same time, from 1 to 1024; a batch counts \
              as one",
        of: Of::Queue { read: |queue, entry| set(&mut queue.concurrency, entry.whole(LANES).map(Some)) },
    },
    Key {
        name: "queues.*.rate",
        default: "none",
        doc: "how often jobs of this queue may start, across all workers, such as `\"10/1s\"`",
        of: Of::Queue { read: |queue, entry| set(&mut queue.rate, rate(entry).map(Some)) },
    },
    Key {
        name: "queues.*.limit",
        default: "none",
        doc: "maximum number of jobs of this queue that run at the same time, across all workers, at least 1; a \
              batch counts as one",
        of: Of::Queue { read: |queue, entry| set(&mut queue.limit, entry.whole(1..=u32::MAX).map(Some)) },
    },
    Key {
        name: "queues.*.enabled",
        default: "true",
        doc: "`false`: a worker does not serve this queue",
        of: Of::Queue { read: |queue, entry| set(&mut queue.enabled, entry.flag().map(Some)) },
    },
    Key {
        name: "handlers.*.priority",
        default: "the handler's",
        doc: "the default priority of messages that are published with this configuration",
        of: Of::Handler {
            read: |handler, entry| set(&mut handler.priority, entry.whole(0..=u32::MAX).map(Priority::new).map(Some)),
        },
    },
    Key {
        name: "handlers.*.max_attempts",
        default: "the handler's",
        doc: "how many runs a message gets before it is buried, at least 1",
        of: Of::Handler { read: |handler, entry| set(&mut handler.max_attempts, entry.whole(1..=u32::MAX).map(Some)) },
    },
    Key {
        name: "handlers.*.backoff",
        default: "the handler's",
        doc: "the delay before the next run, `\"1s..1h\"`, or `\"5s\"` if it does not grow",
        of: Of::Handler {
            read: |handler, entry| {
                let expected = "a backoff such as \"1s..1h\", or \"5s\" if it does not grow";
                let backoff = entry.text()?.parse().map_err(|why| entry.refuse(format!("{expected} ({why})")));
                set(&mut handler.backoff, backoff.map(Some))
            },
        },
    },
    Key {
        name: "handlers.*.ttr",
        default: "the handler's",
        doc: "the ttr of messages published with this configuration: how long a worker keeps one without a sign of \
              life; at least 1s",
        of: Of::Handler { read: |handler, entry| set(&mut handler.ttr, entry.duration(SECOND).map(Some)) },
    },
    Key {
        name: "handlers.*.timeout",
        default: "the handler's",
        doc: "how long one run may take; `\"none\"` means no limit",
        of: Of::Handler {
            read: |handler, entry| {
                let is_none = entry.text().is_ok_and(|text| text == "none");
                let timeout = if is_none { Ok(None) } else { entry.duration(SOME).map(Some) };
                set(&mut handler.timeout, timeout.map(Some))
            },
        },
    },
    Key {
        name: "handlers.*.batch",
        default: "the handler's",
        doc: "the largest number of messages that a batch handler takes at once; only for one with `batch` in its attribute",
        of: Of::Handler { read: |handler, entry| set(&mut handler.batch, entry.whole(1..=MOST_OF_A_BATCH).map(Some)) },
    },
    Key {
        name: "handlers.*.linger",
        default: "the handler's",
        doc: "how long a batch handler waits for more messages after the first",
        of: Of::Handler { read: |handler, entry| set(&mut handler.linger, entry.duration(ANY).map(Some)) },
    },
    Key {
        name: "handlers.*.concurrency",
        default: "none",
        doc: "maximum number of jobs of this type that a worker runs at the same time, from 1 to 1024; a batch counts \
              as one",
        of: Of::Handler { read: |handler, entry| set(&mut handler.concurrency, entry.whole(LANES).map(Some)) },
    },
    Key {
        name: "handlers.*.cron",
        default: "the handler's",
        doc: "`\"off\"`: this worker does not publish the handler's schedule; it still runs the jobs that others \
              publish",
        of: Of::Handler {
            read: |handler, entry| {
                let expected = "\"off\": the attribute of a handler sets when it runs";
                let off = entry.text().ok().filter(|text| text == "off").ok_or_else(|| entry.refuse(expected));
                set(&mut handler.schedule, off.map(|_| Some(false)))
            },
        },
    },
    Key {
        name: "handlers.*.rate",
        default: "the handler's",
        doc: "how often jobs of this type may start, across all workers, such as `\"10/1s\"`",
        of: Of::Handler { read: |handler, entry| set(&mut handler.rate, rate(entry).map(Some)) },
    },
    Key {
        name: "handlers.*.limit",
        default: "the handler's",
        doc: "maximum number of jobs of this type that run at the same time, across all workers, at least 1; a batch \
              counts as one",
        of: Of::Handler { read: |handler, entry| set(&mut handler.limit, entry.whole(1..=u32::MAX).map(Some)) },
    },
    Key { name: "handlers.*.queue", default: "", doc: "", of: Of::Attribute },
    Key { name: "handlers.*.alias", default: "", doc: "", of: Of::Attribute },
];

const MOST_OF_A_BATCH: usize = u32::MAX as usize;

fn set<T>(value: &mut T, read: Result<T, ConfigError>) -> Result<(), ConfigError> {
    *value = read?;
    Ok(())
}

fn time(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn shown(value: Option<impl ToString>, otherwise: &str) -> String {
    value.map_or_else(|| otherwise.to_owned(), |value| value.to_string())
}
