//! Which value each key has in the end, and where it comes from.

use super::key::KEYS;
use super::layer::{Layers, Written};
use super::origin::{Origin, Setting};
use super::place::Place;
use super::value::masked;
use super::{Config, DEFAULT_QUEUE};

impl Config {
    /// All keys, in the order of the documentation; of those of single
    /// handlers and queues the ones that are set.
    pub(super) fn settings(&self, layers: &Layers) -> Vec<Setting> {
        let general = KEYS.into_iter().filter(|key| !key.contains('*')).map(|key| Setting {
            key: key.to_owned(),
            value: masked(&self.value(key, layers)),
            origin: self.origin(key, layers),
        });
        let named = layers.iter().filter(|entry| entry.key.known().is_some_and(|key| key.contains('*')));
        let named = named.map(|entry| Setting {
            key: entry.key.to_string(),
            value: masked(&as_written(&entry.written)),
            origin: entry.origin.clone(),
        });
        general.chain(named).collect()
    }

    fn value(&self, key: &'static str, layers: &Layers) -> String {
        let Self { place, worker, console, .. } = self;
        let time = |duration| humantime::format_duration(duration).to_string();
        match key {
            "queue" => return place.to_string(),
            "queue_adapter_type" => {
                let server = matches!(place, Place::Beanstalkd { .. });
                return if server { "beanstalkd_queue_adapter" } else { "file_queue_adapter" }.to_owned();
            }
            "concurrency" => return worker.concurrency.to_string(),
            "sleep_duration" => return time(worker.sleep_duration),
            "shutdown_after_number_of_empty_iterations" => {
                return worker.shutdown_after_number_of_empty_iterations.to_string();
            }
            "shutdown_grace" => return time(worker.shutdown_grace),
            "max_abandoned_runs" => {
                return worker.max_abandoned_runs.map_or("as many as lanes".to_owned(), |most| most.to_string());
            }
            "log_reasons" => return worker.log_reasons.to_string(),
            "unknown_type_grace" => return time(worker.unknown_type_grace),
            "queues" if worker.queues.is_empty() => return "those of the handlers".to_owned(),
            "queues" => return worker.queues.join(","),
            "enable_banner" => return console.enable_banner.map_or("on a terminal".to_owned(), |on| on.to_string()),
            "banner_name" => return console.banner_name.clone().unwrap_or("the name of the program".to_owned()),
            "banner_font" => return console.banner_font.clone(),
            "enable_output_buffering" => return console.enable_output_buffering.to_string(),
            "log_format" => return console.log_format.to_string(),
            "listen" => return worker.listen.map_or("nowhere".to_owned(), |address| address.to_string()),
            _ => {}
        }
        // Those of an adapter: of the one that is used, what it uses; of the
        // other, what is written for it.
        let written = layers.get(key).map(|entry| as_written(&entry.written));
        if !self.uses(key)
            && let Some(written) = written
        {
            return written;
        }
        let server = match place {
            Place::Beanstalkd { .. } => place.clone(),
            _ => Place::beanstalkd("localhost"),
        };
        let file = match place {
            Place::Beanstalkd { .. } => Place::default(),
            _ => place.clone(),
        };
        match (key, file, server) {
            ("file_queue_adapter.base_path", Place::File { base_path, .. }, _) => base_path.display().to_string(),
            ("file_queue_adapter.base_path", ..) => "none".to_owned(),
            ("file_queue_adapter.enable_archive", Place::File { archive, .. } | Place::Memory { archive }, _) => {
                archive.to_string()
            }
            (key, _, Place::Beanstalkd { host, port, default_tube, socket_timeout, reserve_timeout }) => {
                match key.trim_start_matches("beanstalkd_queue_adapter.") {
                    "host" => host,
                    "port" => port.to_string(),
                    "default_tube" => default_tube,
                    "socket_timeout" => time(socket_timeout),
                    "reserve_timeout" => time(reserve_timeout),
                    other => unreachable!("the key {other} has no value"),
                }
            }
            (other, ..) => unreachable!("the key {other} has no value"),
        }
    }

    /// Whether the key is of the adapter that is used.
    fn uses(&self, key: &str) -> bool {
        key.starts_with("beanstalkd_queue_adapter") == matches!(self.place, Place::Beanstalkd { .. })
    }

    /// The short form of the queue says what it says in place of the tables.
    fn origin(&self, key: &'static str, layers: &Layers) -> Origin {
        let of = |key: &str| layers.get(key).map(|entry| entry.origin.clone());
        let said_in_short = match (key, &self.place) {
            ("queue_adapter_type" | "file_queue_adapter.base_path", Place::File { .. } | Place::Memory { .. }) => true,
            (
                "queue_adapter_type" | "beanstalkd_queue_adapter.host" | "beanstalkd_queue_adapter.port",
                Place::Beanstalkd { .. },
            ) => true,
            ("beanstalkd_queue_adapter.default_tube", Place::Beanstalkd { default_tube, .. }) => {
                let short = layers.get("queue").map(|entry| as_written(&entry.written)).unwrap_or_default();
                default_tube != DEFAULT_QUEUE && short.ends_with(&format!("/{default_tube}"))
            }
            _ => false,
        };
        let short = if said_in_short { of("queue") } else { None };
        let long = if key == "queue" { self.long_form().find_map(of) } else { None };
        short.or_else(|| of(key)).or(long).unwrap_or(Origin::Default)
    }

    /// The keys that name the queue where the short form does not.
    fn long_form(&self) -> impl Iterator<Item = &'static str> {
        let server = matches!(self.place, Place::Beanstalkd { .. });
        let table = if server { "beanstalkd_queue_adapter.host" } else { "file_queue_adapter.base_path" };
        [table, "queue_adapter_type"].into_iter()
    }
}

fn as_written(written: &Written) -> String {
    match written {
        Written::Text(text) | Written::Other(text) => text.clone(),
        Written::NotText(text) => text.to_string_lossy().into_owned(),
        Written::Whole(number) => number.to_string(),
        Written::Fraction(number) => number.to_string(),
        Written::Flag(flag) => flag.to_string(),
        Written::List(values) => values.iter().map(as_written).collect::<Vec<_>>().join(","),
    }
}
