use std::collections::HashMap;

use super::*;
use crate::report::chain;

fn load(file: Option<&Path>, environment: &[(&str, &str)], overrides: &[(&str, &str)]) -> Result<Config, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Config::load_from(&Sources {
        file: file.map(Path::to_owned),
        environment: Some(environment.iter().map(owned).collect::<HashMap<_, _>>()),
        overrides: overrides.iter().map(owned).collect(),
        defaults: Vec::new(),
    })
    .map_err(|error| chain(&error))
}

fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(name);
    std::fs::write(&file, text).expect("written");
    (folder, file)
}

#[test]
fn nothing_said_means_the_defaults() {
    let config = load(None, &[("HOME", "/root"), ("RUST_LOG", "debug")], &[]).expect("a configuration");
    assert_eq!(config, Config::default());
    assert_eq!(config.place.to_string(), "file:./pulpo-data");
    assert_eq!(config.worker.shutdown_grace, Duration::from_secs(25));
}

#[test]
fn each_layer_goes_over_the_one_before() {
    let text = "concurrency = 2\nsleep_duration = 1.5\nshutdown_grace = \"1m\"\n[file_queue_adapter]\nbase_path = \"here\"\nenable_archive = true\n";
    let (_folder, file) = file("pulpo.toml", text);
    let config =
        load(Some(&file), &[("PULPO_CONCURRENCY", "3"), ("PULPO_SHUTDOWN_GRACE", "2")], &[("shutdown_grace", "3s")])
            .expect("a configuration");
    assert_eq!(config.place.to_string(), "file:here");
    assert_eq!(config.place, Place::File { base_path: "here".into(), archive: true });
    assert_eq!(config.worker.concurrency, 3);
    assert_eq!(config.worker.sleep_duration, Duration::from_millis(1500));
    assert_eq!(config.worker.shutdown_grace, Duration::from_secs(3));
}

#[test]
fn a_table_is_written_with_two_underscores_in_the_environment() {
    let environment =
        [("PULPO_FILE_QUEUE_ADAPTER__BASE_PATH", "/q"), ("PULPO_FILE_QUEUE_ADAPTER__ENABLE_ARCHIVE", "true")];
    let config = load(None, &environment, &[]).expect("a configuration");
    assert_eq!(config.place, Place::File { base_path: "/q".into(), archive: true });
}

#[test]
fn both_words_for_the_file_adapter_and_json_are_read() {
    for name in ["file_queue_adapter", "FileQueueAdapter"] {
        let (_folder, file) =
            file("pulpo.json", &format!(r#"{{"queue_adapter_type": "{name}", "queues": ["a", "b"]}}"#));
        let config = load(Some(&file), &[], &[]).expect("a configuration");
        assert_eq!(config.worker.queues, ["a", "b"]);
    }
    let config = load(None, &[("PULPO_QUEUES", "a, b")], &[]).expect("a configuration");
    assert_eq!(config.worker.queues, ["a", "b"]);
}

#[test]
fn the_short_form_names_a_place() {
    for (written, shown) in [
        ("file:/var/q", "file:/var/q"),
        ("file:///var/q", "file:/var/q"),
        ("file:./q", "file:./q"),
        ("memory:", "memory:"),
        ("beanstalkd://host", "beanstalkd://host:11300/pulpo"),
        ("beanstalkd://host:1234/shop", "beanstalkd://host:1234/shop"),
        ("beanstalkd://[::1]:1234", "beanstalkd://[::1]:1234/pulpo"),
    ] {
        let config = load(None, &[("PULPO_QUEUE", written)], &[]).expect("a configuration");
        assert_eq!(config.place.to_string(), shown);
    }
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest() {
    let (_folder, file) = file("pulpo.toml", "concurency = 2\n");
    let error = load(Some(&file), &[], &[]).expect_err("refused");
    assert!(error.starts_with("unknown configuration key `concurency` in "), "{error}");
    assert!(error.ends_with("pulpo.toml; did you mean `concurrency`?"), "{error}");
    assert_eq!(
        load(None, &[("PULPO_SLEEP_DURATON", "1")], &[]).expect_err("refused"),
        "unknown configuration key `sleep_duraton` in the environment; did you mean `sleep_duration`?"
    );
    assert_eq!(
        load(None, &[("PULPO_FILE_QUEUE_ADAPTER__PATH", "x")], &[]).expect_err("refused"),
        "unknown configuration key `file_queue_adapter.path` in the environment; did you mean `file_queue_adapter.base_path`?"
    );
    let error = load(None, &[("PULPO_ZZZ", "1")], &[]).expect_err("refused");
    assert!(error.contains("the known keys are queue, queue_adapter_type"), "{error}");
}

#[test]
fn a_wrong_value_says_what_was_expected() {
    for (key, value, expected) in [
        ("PULPO_CONCURRENCY", "many", "many"),
        ("PULPO_CONCURRENCY", "0", "expected concurrency to be from 1 to 1024 lanes, got 0"),
        (
            "PULPO_SLEEP_DURATION",
            "soon",
            "expected a duration such as \"30s\" or \"1h 30m\", or a number of seconds, got \"soon\"",
        ),
        ("PULPO_SLEEP_DURATION", "0", "expected sleep_duration to be at least 10ms, got 0ns"),
        ("PULPO_QUEUE", "redis://x", "expected file:FOLDER, beanstalkd://HOST:PORT/TUBE or memory:, got \"redis://x\""),
        (
            "PULPO_QUEUE_ADAPTER_TYPE",
            "x",
            "expected queue_adapter_type to be file_queue_adapter or beanstalkd_queue_adapter, got \"x\"",
        ),
    ] {
        let error = load(None, &[(key, value)], &[]).expect_err("refused");
        assert!(error.contains(expected), "{key}={value}: {error}");
    }
}

#[test]
fn a_file_that_is_not_there_or_not_in_its_format_is_named() {
    let error = load(Some(Path::new("/nowhere/pulpo.toml")), &[], &[]).expect_err("refused");
    assert!(error.starts_with("cannot read the configuration file /nowhere/pulpo.toml: No such file"), "{error}");
    assert_eq!(
        load(Some(Path::new("pulpo.yaml")), &[], &[]).expect_err("refused"),
        "expected a configuration file that ends in .toml or .json, got pulpo.yaml"
    );
    let (_folder, file) = file("pulpo.toml", "concurrency = \n");
    let error = load(Some(&file), &[], &[]).expect_err("refused");
    assert!(error.contains("pulpo.toml is wrong") && error.contains("line 1"), "{error}");
}

#[test]
fn a_server_is_named_by_its_table_or_in_short() {
    let table = [
        ("PULPO_QUEUE_ADAPTER_TYPE", "BeanstalkdQueueAdapter"),
        ("PULPO_BEANSTALKD_QUEUE_ADAPTER__HOST", "queue.example"),
        ("PULPO_BEANSTALKD_QUEUE_ADAPTER__DEFAULT_TUBE", "shop"),
        ("PULPO_BEANSTALKD_QUEUE_ADAPTER__SOCKET_TIMEOUT", "2"),
    ];
    let config = load(None, &table, &[]).expect("a configuration");
    assert_eq!(config.place.to_string(), "beanstalkd://queue.example:11300/shop");
    assert_eq!(config.worker.default_queue, "shop");
    assert!(
        matches!(config.place, Place::Beanstalkd { socket_timeout, .. } if socket_timeout == Duration::from_secs(2))
    );
    let short = [table.as_slice(), &[("PULPO_QUEUE", "beanstalkd://other:7")]].concat();
    let config = load(None, &short, &[]).expect("a configuration");
    assert_eq!(config.place.to_string(), "beanstalkd://other:7/shop");
    for wrong in
        ["beanstalkd:host", "beanstalkd://", "beanstalkd://host:x", "beanstalkd://[::1]x", "beanstalkd://:11300"]
    {
        assert!(load(None, &[("PULPO_QUEUE", wrong)], &[]).is_err(), "{wrong}");
    }
}

#[test]
fn a_programs_own_defaults_come_after_the_environment() {
    let environment = HashMap::from([("PULPO_CONCURRENCY".to_owned(), "3".to_owned())]);
    let mut sources = Sources { environment: Some(environment), ..Sources::default() };
    sources.set_default("concurrency", "2").set_default("sleep_duration", "2s");
    let config = Config::load_from(&sources).expect("a configuration");
    assert_eq!((config.worker.concurrency, config.worker.sleep_duration), (3, Duration::from_secs(2)));
}
