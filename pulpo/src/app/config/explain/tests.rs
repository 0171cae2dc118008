use std::collections::HashMap;

use super::*;
use crate::config::Sources;
use crate::config::key::KeyPath;
use crate::config::tests::{file, here};

#[test]
fn each_key_shows_its_value_and_where_it_comes_from() {
    let text = "concurrency = 2\n\n[file_queue_adapter]\nbase_path = \"here\"\n\n[handlers.mail]\nttr = 90\n";
    let (_folder, path) = file("pulpo.toml", text);
    let environment = HashMap::from([
        ("PULPO_SLEEP_DURATION".to_owned(), "2".to_owned()),
        ("PULPO_QUEUES".to_owned(), "b, a".to_owned()),
    ]);
    let mut sources = Sources { file: Some(path.clone()), environment: Some(environment), ..Sources::default() };
    sources.overrides = vec![("log_format".to_owned(), "json".to_owned())];
    sources.set_default("shutdown_grace", "90s");
    let all = Config::explain(&sources).expect("a configuration");
    let of = |key: &str| {
        let setting = all.iter().find(|setting| setting.key == key).expect("a key");
        (setting.value.clone(), setting.origin.clone())
    };
    let line = |line| Origin::File { file: path.clone(), line };
    let variable = |variable: &str| Origin::Environment { variable: variable.to_owned() };
    assert_eq!(of("concurrency"), ("2".to_owned(), line(1)));
    assert_eq!(of("queue"), (format!("file:{}", here("here")), line(4)));
    assert_eq!(of("file_queue_adapter.base_path"), (here("here"), line(4)));
    assert_eq!(of("sleep_duration"), ("2s".to_owned(), variable("PULPO_SLEEP_DURATION")));
    assert_eq!(of("queues"), ("b,a".to_owned(), variable("PULPO_QUEUES")));
    assert_eq!(of("log_format"), ("json".to_owned(), Origin::CommandLine));
    assert_eq!(of("shutdown_grace"), ("1m 30s".to_owned(), Origin::Program));
    assert_eq!(of("beanstalkd_queue_adapter.port"), ("11300".to_owned(), Origin::Default));
    assert_eq!(of("handlers.mail.ttr"), ("90".to_owned(), line(7)));
    let json = serde_json::to_value(all.iter().find(|setting| setting.key == "concurrency")).expect("JSON");
    let expected = serde_json::json!({
        "key": "concurrency", "value": "2", "default": "one for each core, at least 4",
        "meaning": "number of lanes of a worker: jobs at the same time, from 1 to 1024",
        "from": "file", "file": path, "line": 1,
    });
    assert_eq!(json, expected);
}

#[test]
fn values_of_the_short_form_come_from_it() {
    let environment = [
        ("PULPO_QUEUE", "beanstalkd://other:7/shop"),
        ("PULPO_BEANSTALKD_QUEUE_ADAPTER__HOST", "unused"),
        ("PULPO_BEANSTALKD_QUEUE_ADAPTER__SOCKET_TIMEOUT", "2"),
        ("PULPO_FILE_QUEUE_ADAPTER__BASE_PATH", "spare"),
    ];
    let environment = environment.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
    let sources = Sources { environment: Some(environment), ..Sources::default() };
    let all = Config::explain(&sources).expect("a configuration");
    let of = |key: &str| {
        let setting = all.iter().find(|setting| setting.key == key).expect("a key");
        format!("{} from {}", setting.value, setting.origin)
    };
    assert_eq!(of("queue"), "beanstalkd://other:7/shop from PULPO_QUEUE");
    assert_eq!(of("queue_adapter_type"), "beanstalkd_queue_adapter from PULPO_QUEUE");
    assert_eq!(of("beanstalkd_queue_adapter.host"), "other from PULPO_QUEUE");
    assert_eq!(of("beanstalkd_queue_adapter.port"), "7 from PULPO_QUEUE");
    assert_eq!(of("beanstalkd_queue_adapter.default_tube"), "shop from PULPO_QUEUE");
    let timeout = "2s from PULPO_BEANSTALKD_QUEUE_ADAPTER__SOCKET_TIMEOUT";
    assert_eq!(of("beanstalkd_queue_adapter.socket_timeout"), timeout);
    assert_eq!(of("file_queue_adapter.base_path"), "spare from PULPO_FILE_QUEUE_ADAPTER__BASE_PATH");
}

#[test]
fn the_table_of_the_documentation_is_the_table_of_keys() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let documentation = std::fs::read_to_string(path).expect("the documentation");
    let documented: Vec<&str> = documentation.lines().filter(|line| line.starts_with("| `")).collect();
    let keys = Keys::collect().expect("keys");
    let row = |row: &Row| {
        let default = row.default();
        let is_words = default.contains(' ') || ["none", "nowhere"].contains(&default);
        let default = if is_words { default.to_owned() } else { format!("`{default}`") };
        format!("| `{}` | {default} | {} |", row.name(), row.doc())
    };
    let expected: Vec<String> = keys.settable().map(row).collect();
    // The page has the adapters too that this build is without.
    let is_expected = |line: &&str| expected.iter().any(|row| key_of(row) == key_of(line));
    let (documented, others): (Vec<_>, Vec<_>) = documented.into_iter().partition(is_expected);
    assert!(documented == expected, "the page should have these rows:\n{}\n", expected.join("\n"));
    let is_absent = |line: &str| keys.knows(&KeyPath::dotted(key_of(line)));
    assert!(others.iter().all(|line| is_absent(line)), "no adapter has these: {others:?}");
}

/// Returns the key of a row.
fn key_of(row: &str) -> &str {
    row.trim_start_matches("| `").split('`').next().unwrap_or_default()
}

#[test]
fn the_defaults_of_the_table_hold() {
    let sources = Sources { environment: Some(HashMap::new()), ..Sources::default() };
    for setting in Config::explain(&sources).expect("a configuration") {
        if setting.key != "concurrency" {
            // Shown from the root.
            let value = setting.value.replace(&here("pulpo-data"), "./pulpo-data");
            assert_eq!(setting.default, value, "{}", setting.key);
        }
    }
}

#[cfg(feature = "postgres")]
#[test]
fn a_url_in_a_file_says_what_it_says_in_the_environment() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pulpo.toml");
    std::fs::write(&file, "queue = \"postgres://me@host/shop?enable_archive=true&notify=false\"").expect("written");
    let sources = Sources { file: Some(file), environment: Some(HashMap::new()), ..Sources::default() };
    let settings = Config::explain(&sources).expect("a configuration");
    let of = |key: &str| settings.iter().find(|setting| setting.key == key).map(|setting| setting.value.clone());
    assert_eq!(of("postgres_queue_adapter.enable_archive").as_deref(), Some("true"));
    assert_eq!(of("postgres_queue_adapter.notify").as_deref(), Some("false"));
}
