//! From the layers to the configuration: each key's value, checked.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::error::ConfigError;
use super::layer::{Entry, Layers};
use super::place::{self, Place};
use super::value::{absolute, hidden};
use super::{Config, ConsoleOptions, span};
use crate::message::Priority;
use crate::policy::HandlerOptions;
use crate::queue::DEFAULT_QUEUE;
use crate::worker::{QueueOptions, WorkerOptions};

const LANES: RangeInclusive<usize> = 1..=1024;
const SHORTEST: RangeInclusive<Duration> = Duration::from_millis(10)..=span::LONGEST;
const ANY: RangeInclusive<Duration> = Duration::ZERO..=span::LONGEST;

impl Config {
    pub(super) fn resolve(layers: &Layers) -> Result<Self, ConfigError> {
        let warnings = layers.warnings.clone();
        let mut config = Self { place: place(layers)?, worker: worker(layers)?, console: console(layers)?, warnings };
        config.follow_place();
        config.check_names(layers)?;
        Ok(config)
    }

    /// The queues to work have names that the server takes.
    fn check_names(&self, layers: &Layers) -> Result<(), ConfigError> {
        let Place::Beanstalkd { .. } = self.place else { return Ok(()) };
        let Some(entry) = layers.get("queues") else { return Ok(()) };
        let problem = self.worker.queues.iter().find_map(|queue| Some((queue, place::tube_problem(queue)?)));
        problem.map_or(Ok(()), |(queue, problem)| {
            Err(entry.refuse(format!("names of tubes, not {:?} ({problem})", hidden(queue))))
        })
    }
}

fn worker(layers: &Layers) -> Result<WorkerOptions, ConfigError> {
    let mut worker = WorkerOptions::default();
    set(&mut worker.concurrency, layers.read("concurrency", |entry| entry.whole(LANES))?);
    set(&mut worker.sleep_duration, layers.read("sleep_duration", |entry| entry.duration(SHORTEST))?);
    set(&mut worker.shutdown_grace, layers.read("shutdown_grace", |entry| entry.duration(ANY))?);
    worker.max_abandoned_runs = layers.read("max_abandoned_runs", |entry| entry.whole(LANES))?;
    set(&mut worker.log_reasons, layers.read("log_reasons", Entry::flag)?);
    set(&mut worker.unknown_type_grace, layers.read("unknown_type_grace", |entry| entry.duration(ANY))?);
    set(
        &mut worker.shutdown_after_number_of_empty_iterations,
        layers.read("shutdown_after_number_of_empty_iterations", |entry| entry.whole(0..=u64::MAX))?,
    );
    set(&mut worker.queues, layers.read("queues", Entry::names)?);
    worker.listen = layers.read("listen", |entry| {
        let expected = "an address and a port such as 127.0.0.1:9100";
        entry.text()?.parse().map_err(|_| entry.refuse(expected))
    })?;
    worker.queue_options = named(layers, "queues", queue)?;
    worker.handlers = named(layers, "handlers", handler)?;
    Ok(worker)
}

fn console(layers: &Layers) -> Result<ConsoleOptions, ConfigError> {
    let mut console = ConsoleOptions {
        enable_banner: layers.read("enable_banner", Entry::flag)?,
        banner_name: layers.read("banner_name", Entry::text)?,
        ..ConsoleOptions::default()
    };
    set(&mut console.banner_font, layers.read("banner_font", font)?);
    set(&mut console.enable_output_buffering, layers.read("enable_output_buffering", Entry::flag)?);
    let format = |entry: &Entry| entry.text()?.parse().map_err(|_| entry.refuse("auto, pretty, plain or json"));
    set(&mut console.log_format, layers.read("log_format", format)?);
    Ok(console)
}

fn font(entry: &Entry) -> Result<String, ConfigError> {
    let mut font = entry.text()?;
    let is_file = Path::new(&font).extension().is_some_and(|extension| extension == "flf");
    if let Some(file) = is_file.then(|| entry.path()).transpose()?.and_then(|file| file.to_str().map(str::to_owned)) {
        font = file;
    }
    // Where there is no banner, nobody knows the fonts.
    #[cfg(feature = "cli")]
    crate::banner::check(&font).map_err(|expected| entry.refuse(expected))?;
    Ok(font)
}

fn set<T>(value: &mut T, read: Option<T>) {
    if let Some(read) = read {
        *value = read;
    }
}

/// The tables of single handlers or queues.
fn named<T: Default>(
    layers: &Layers,
    table: &str,
    read: fn(&mut T, &str, &Entry) -> Result<(), ConfigError>,
) -> Result<BTreeMap<String, T>, ConfigError> {
    let mut all = BTreeMap::new();
    for entry in layers.iter() {
        if let Some((name, what)) = entry.key.of_named(table) {
            read(all.entry(name.to_owned()).or_default(), what, entry)?;
        }
    }
    Ok(all)
}

fn queue(options: &mut QueueOptions, what: &str, entry: &Entry) -> Result<(), ConfigError> {
    match what {
        "concurrency" => options.concurrency = Some(entry.whole(LANES)?),
        _ => options.enabled = Some(entry.flag()?),
    }
    note(&mut options.origin, entry);
    Ok(())
}

fn handler(options: &mut HandlerOptions, what: &str, entry: &Entry) -> Result<(), ConfigError> {
    let some = Duration::from_nanos(1)..=span::LONGEST;
    match what {
        "priority" => options.priority = Some(Priority::new(entry.whole(0..=u32::MAX)?)),
        "max_attempts" => options.max_attempts = Some(entry.whole(1..=u32::MAX)?),
        "backoff" => {
            let expected = "a backoff such as \"1s..1h\", or \"5s\" if it does not grow";
            options.backoff = Some(entry.text()?.parse().map_err(|why| entry.refuse(format!("{expected} ({why})")))?);
        }
        "ttr" => options.ttr = Some(entry.duration(Duration::from_secs(1)..=span::LONGEST)?),
        "timeout" if entry.text().is_ok_and(|text| text == "none") => options.timeout = Some(None),
        "timeout" => options.timeout = Some(Some(entry.duration(some)?)),
        "batch" => options.batch = Some(entry.whole(1..=u32::MAX as usize)?),
        "linger" => options.linger = Some(entry.duration(ANY)?),
        _ => options.concurrency = Some(entry.whole(LANES)?),
    }
    note(&mut options.origin, entry);
    Ok(())
}

fn note(origin: &mut String, entry: &Entry) {
    if origin.is_empty() {
        *origin = entry.origin.to_string();
    }
}

/// The place, from the short form or the long one, and what the tables add.
/// What the short form says goes before the tables.
fn place(layers: &Layers) -> Result<Place, ConfigError> {
    let short = layers.read("queue", |entry| {
        Place::parse(&entry.raw()?).map_err(|refused| entry.refuse_as(place::EXPECTED, refused.got()))
    })?;
    let long = layers.read("queue_adapter_type", |entry| match entry.text()?.as_str() {
        "file_queue_adapter" | "FileQueueAdapter" => Ok(Place::default()),
        "beanstalkd_queue_adapter" | "BeanstalkdQueueAdapter" => Ok(Place::beanstalkd("localhost")),
        _ => Err(entry.refuse("file_queue_adapter or beanstalkd_queue_adapter")),
    })?;
    let base = layers.read("file_queue_adapter.base_path", Entry::path)?;
    let with_archive = layers.read("file_queue_adapter.enable_archive", Entry::flag)?.unwrap_or_default();
    let table = |name: &str| format!("beanstalkd_queue_adapter.{name}");
    let server = layers.read(&table("host"), |entry| {
        let host = entry.text()?;
        let problem = place::host_problem(&host);
        problem.map_or(Ok(host), |_| Err(entry.refuse("the name or the address of a host, without port or user")))
    })?;
    let its_port = layers.read(&table("port"), |entry| entry.whole(1..=u16::MAX))?;
    let tube = layers.read(&table("default_tube"), |entry| {
        let tube = entry.text()?;
        let problem = place::tube_problem(&tube);
        problem.map_or(Ok(tube), |problem| Err(entry.refuse(format!("the name of a tube ({problem})"))))
    })?;
    let socket = layers.read(&table("socket_timeout"), |entry| entry.duration(SHORTEST))?;
    let reserve = layers.read(&table("reserve_timeout"), |entry| entry.duration(SHORTEST))?;

    let is_short = short.is_some();
    let mut place = short.or(long).unwrap_or_default();
    match &mut place {
        Place::File { base_path, archive } => {
            set(base_path, base.filter(|_| !is_short));
            *base_path = absolute(base_path)?;
            *archive = with_archive;
        }
        Place::Memory { archive } => *archive = with_archive,
        Place::Beanstalkd { host, port, default_tube, socket_timeout, reserve_timeout } => {
            set(host, server.filter(|_| !is_short));
            set(port, its_port.filter(|_| !is_short));
            // The short form may leave the tube to the table.
            set(default_tube, tube.filter(|_| !is_short || default_tube == DEFAULT_QUEUE));
            set(socket_timeout, socket);
            set(reserve_timeout, reserve);
        }
    }
    Ok(place)
}
