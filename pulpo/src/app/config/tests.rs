use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::queue::backend::Value;
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

pub(super) fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(name);
    std::fs::write(&file, text).expect("written");
    (folder, file)
}

/// Returns a key of the adapter in use, as it is shown.
fn setting(config: &Config, key: &str) -> String {
    config.backend.setting(key).map(ToString::to_string).unwrap_or_default()
}

/// Returns the path of a file in the current folder.
pub(super) fn here(name: &str) -> String {
    std::env::current_dir().expect("a folder").join(name).display().to_string()
}

#[test]
fn no_arguments_mean_the_defaults() {
    let config = load(None, &[("HOME", "/root"), ("RUST_LOG", "debug")], &[]).expect("a configuration");
    assert_eq!(config, Config::default().queue("file:./pulpo-data").expect("a folder"));
    assert_eq!(config.backend.to_string(), format!("file:{}", here("pulpo-data")));
    assert_eq!(config.worker.shutdown_grace, Duration::from_secs(25));
}

#[test]
fn each_layer_goes_over_the_one_before() {
    let text = "concurrency = 2\nsleep_duration = 1.5\nshutdown_grace = \"1m\"\n[file_queue_adapter]\nbase_path = \"here\"\nenable_archive = true\n";
    let (_folder, file) = file("pulpo.toml", text);
    let config =
        load(Some(&file), &[("PULPO_CONCURRENCY", "3"), ("PULPO_SHUTDOWN_GRACE", "2")], &[("shutdown_grace", "3s")])
            .expect("a configuration");
    assert_eq!(config.backend.to_string(), format!("file:{}", here("here")));
    assert_eq!(setting(&config, "enable_archive"), "true");
    assert_eq!(config.worker.concurrency, 3);
    assert_eq!(config.worker.sleep_duration, Duration::from_millis(1500));
    assert_eq!(config.worker.shutdown_grace, Duration::from_secs(3));
}

#[test]
fn a_table_is_written_with_two_underscores_in_the_environment() {
    let environment =
        [("PULPO_FILE_QUEUE_ADAPTER__BASE_PATH", "/q"), ("PULPO_FILE_QUEUE_ADAPTER__ENABLE_ARCHIVE", "true")];
    let config = load(None, &environment, &[]).expect("a configuration");
    assert_eq!((setting(&config, "base_path"), setting(&config, "enable_archive")), ("/q".into(), "true".into()));
}

#[test]
fn both_words_for_the_file_adapter_and_json_are_read() {
    for name in ["file_queue_adapter", "FileQueueAdapter"] {
        let (_folder, file) =
            file("pulpo.json", &format!(r#"{{"queue_adapter_type": "{name}", "queues": ["a", "b"]}}"#));
        let config = load(Some(&file), &[], &[]).expect("a configuration");
        assert_eq!(config.worker.queues, ["a", "b"]);
    }
    // A name that is there twice counts once.
    let config = load(None, &[("PULPO_QUEUES", "a, b,a")], &[]).expect("a configuration");
    assert_eq!(config.worker.queues, ["a", "b"]);
}

#[test]
fn the_short_form_names_a_place() {
    for (written, shown) in [
        ("file:/var/q", "file:/var/q"),
        ("file:///var/q", "file:/var/q"),
        ("file://localhost/var/q", "file:/var/q"),
        ("file:./q", &format!("file:{}", here("q"))),
        ("file:a/../q", &format!("file:{}", here("a/../q"))),
        ("memory:", "memory:"),
        ("beanstalkd://host", "beanstalkd://host:11300/pulpo"),
        ("beanstalkd://host:1234/shop", "beanstalkd://host:1234/shop"),
        ("beanstalkd://[::1]:1234", "beanstalkd://[::1]:1234/pulpo"),
        ("beanstalkd://[fe80::1%eth0]", "beanstalkd://[fe80::1%eth0]:11300/pulpo"),
        ("beanstalkd://[fe80::1%br-lan]:7", "beanstalkd://[fe80::1%br-lan]:7/pulpo"),
        ("beanstalkd://[fe80::1%eth0.100]/mail", "beanstalkd://[fe80::1%eth0.100]:11300/mail"),
        ("beanstalkd://[fe80::1%wg_0],[fe80::1%3]", "beanstalkd://[fe80::1%wg_0]:11300,[fe80::1%3]:11300/pulpo"),
        ("beanstalkd://my_host.example/a/b;c", "beanstalkd://my_host.example:11300/a/b;c"),
        ("beanstalkd://host/", "beanstalkd://host:11300/pulpo"),
    ] {
        let config = load(None, &[("PULPO_QUEUE", written)], &[]).expect("a configuration");
        assert_eq!(config.backend.to_string(), shown);
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_nearest() {
    let (_folder, path) = file("pulpo.toml", "# lanes\nconcurency = 2\n");
    let error = load(Some(&path), &[], &[]).expect_err("refused");
    let expected = "pulpo.toml:2: unknown configuration key `concurency`; did you mean `concurrency`?";
    assert!(error.ends_with(expected), "{error}");
    for (key, nearest) in [
        ("file_queue_adapter.path", "file_queue_adapter.base_path"),
        ("handlers.mail.max_attempt", "handlers.mail.max_attempts"),
        ("handler.mail.ttr", "handlers.mail.ttr"),
        ("queues.mail.concurency", "queues.mail.concurrency"),
    ] {
        let error = load(None, &[], &[(key, "1")]).expect_err("refused");
        assert_eq!(error, format!("the command line: unknown configuration key `{key}`; did you mean `{nearest}`?"));
    }
    let error = load(None, &[], &[("zzz", "1")]).expect_err("refused");
    assert!(error.contains("the known keys are queue, queue_adapter_type"), "{error}");
    let error = load(None, &[], &[("concurency", "1")]).expect_err("refused");
    assert!(error.starts_with("the command line: unknown configuration key `concurency`"), "{error}");
}

#[test]
fn a_wrong_value_says_where_it_is_and_what_was_expected() {
    let adapters = if cfg!(feature = "postgres") {
        "file_queue_adapter, beanstalkd_queue_adapter or postgres_queue_adapter, got \"x\""
    } else {
        "file_queue_adapter or beanstalkd_queue_adapter, got \"x\""
    };
    for (key, value, expected) in [
        ("concurrency", "many", "a whole number from 1 to 1024, got \"many\""),
        ("concurrency", "0", "a whole number from 1 to 1024, got \"0\""),
        ("sleep_duration", "soon", "a duration such as \"30s\" or \"1h 30m\", or a number of seconds, got \"soon\""),
        ("sleep_duration", "0", "a duration of at least 10ms, and at most "),
        ("beanstalkd_queue_adapter.reserve_timeout", "5s", "a duration from 10ms to 1s"),
        ("beanstalkd_queue_adapter.reserve_timeout", "1001ms", "a duration from 10ms to 1s"),
        ("queue", "redis://x", "file:FOLDER, beanstalkd://HOST:PORT/TUBE"),
        ("queue", "redis://x", ", got \"redis://x\""),
        ("queue", "redis://me:secret@x/1", ", got \"redis://***@x/1\""),
        ("queue_adapter_type", "x", adapters),
        ("enable_banner", "maybe", "true or false, got \"maybe\""),
        ("log_format", "xml", "auto, pretty, plain or json, got \"xml\""),
        ("listen", "9100", "an address and a port such as 127.0.0.1:9100, got \"9100\""),
        ("handlers.mail.backoff", "1h..1s", "a backoff such as \"1s..1h\", or \"5s\" if it does not grow"),
        ("handlers.mail.backoff", "1us..1s", "at least 1ms, since queues count in milliseconds"),
        ("handlers.mail.timeout", "999us", "a duration of at least 1ms, and at most "),
        ("handlers.mail.rate", "1/1ns", "in a period from 1ms to some 136 years"),
        ("handlers.mail.ttr", "0.5", "a duration of at least 1s, and at most "),
        ("queues.mail.concurrency", "-1", "a whole number from 1 to 1024, got \"-1\""),
    ] {
        let variable = format!("PULPO_{}", key.replace('.', "__").to_uppercase());
        let error = load(None, &[(&variable, value)], &[]).expect_err("refused");
        assert!(error.starts_with(&format!("{variable}: expected `{key}` to be ")), "{error}");
        assert!(error.contains(expected), "{key}={value}: {error}");
    }
}

#[test]
fn an_unknown_variable_is_a_warning() {
    let warnings = |name: &str, value: &str| {
        let config = load(None, &[(name, value)], &[]).expect("a configuration");
        config.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for (name, nearest) in [
        ("PULPO_SLEEP_DURATON", "PULPO_SLEEP_DURATION"),
        ("PULPO_FILE_QUEUE_ADAPTER__PATH", "PULPO_FILE_QUEUE_ADAPTER__BASE_PATH"),
        ("PULPO_BEANSTALKD_QUEUE_ADAPTER_PORT", "PULPO_BEANSTALKD_QUEUE_ADAPTER__PORT"),
        ("PULPO_HANDLERS__MAIL__MAX_ATTEMPT", "PULPO_HANDLERS__MAIL__MAX_ATTEMPTS"),
        ("PULPO_HANDLER__MAIL__TTR", "PULPO_HANDLERS__MAIL__TTR"),
        ("PULPO_QUEUES__MAIL__CONCURENCY", "PULPO_QUEUES__MAIL__CONCURRENCY"),
    ] {
        let expected = format!("{name} is not a configuration key and is ignored; did you mean {nearest}?");
        assert_eq!(warnings(name, "1"), [expected]);
    }
    assert_eq!(warnings("PULPO_ZZZ", "1"), ["PULPO_ZZZ is not a configuration key and is ignored"]);
    for (name, value) in [
        ("PULPO_SERVICE_HOST", "10.96.0.7"),
        ("PULPO_QUEUE_PORT", "tcp://10.96.0.7:11300"),
        ("PULPO_TORTURE_SECONDS", "60"),
        ("PULPO_ZZZ", ""),
    ] {
        assert_eq!(warnings(name, value), [""; 0], "{name}");
    }
}

#[test]
fn an_empty_variable_leaves_what_is_below_it() {
    let (_folder, path) = file("pulpo.toml", "concurrency = 2\n");
    let empty = [("PULPO_CONCURRENCY", ""), ("PULPO_QUEUE", ""), ("PULPO_QUEUES", ""), ("PULPO_LISTEN", "")];
    let config = load(Some(&path), &empty, &[]).expect("a configuration");
    assert_eq!((config.worker.concurrency, config.worker.listen), (2, None));
}

#[cfg(unix)]
#[test]
fn a_path_need_not_be_text_and_all_else_must() {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

    use super::keys::Keys;
    use super::layer::Layers;
    use super::sources::environment;

    let load = |name: &str, value: &[u8]| {
        let variable = (OsString::from(name), OsString::from_vec(value.to_vec()));
        let keys = Keys::collect().expect("keys");
        let (entries, warnings) = environment([variable], &keys);
        assert_eq!(warnings, []);
        let mut layers = Layers::default();
        layers.put(entries);
        Config::resolve(&layers, &keys)
    };
    for (name, value) in [
        ("PULPO_QUEUE", b"file:/var/\xff".as_slice()),
        ("PULPO_QUEUE", b"file:///var/\xff"),
        ("PULPO_FILE_QUEUE_ADAPTER__BASE_PATH", b"/var/\xff"),
    ] {
        let config = load(name, value).expect("a path");
        let Some(Value::Path(base_path)) = config.backend.setting("base_path") else { panic!("{name}") };
        assert_eq!(base_path.as_os_str().as_bytes(), b"/var/\xff");
    }
    let error = load("PULPO_BANNER_NAME", b"\xff").expect_err("refused");
    assert_eq!(error.to_string(), "the environment variable PULPO_BANNER_NAME is not UTF-8 text");
    let error = load("PULPO_QUEUE", b"beanstalkd://\xff").expect_err("refused").to_string();
    assert!(error.ends_with("it is not UTF-8 text"), "{error}");
    // Of a variable that is not ours neither the value nor the name.
    let names: [&[u8]; 2] = [b"PULPO_ZZZ", b"PULPO_\xff"];
    let variables = names.map(|name| (OsString::from_vec(name.to_vec()), OsString::from_vec(b"\xff".to_vec())));
    let (entries, warnings) = environment(variables, &Keys::collect().expect("keys"));
    assert_eq!((entries.len(), warnings.len()), (0, 2));
}

#[test]
fn a_place_that_cannot_be_is_refused_with_the_reason() {
    for (place, reason) in [
        ("file:", "expected a folder after `file:`"),
        ("file://", "what follows `file://` is a host"),
        (
            "file://var/x",
            "what follows `file://` is a host: write `file:FOLDER`, or `file:///FOLDER` for one at the root",
        ),
        ("file://./x", "what follows `file://` is a host"),
        ("memory:x", "expected nothing after `memory:`"),
        ("memory://", "expected nothing after `memory:`"),
        ("beanstalkd:h", "expected two slashes after `beanstalkd:`"),
        ("beanstalkd://", "the host is missing"),
        ("beanstalkd:///tube", "the host is missing"),
        ("beanstalkd://:11300", "the host is missing"),
        ("beanstalkd://h:", "expected a port from 1 to 65535"),
        ("beanstalkd://h:0", "expected a port from 1 to 65535"),
        ("beanstalkd://h:99999", "expected a port from 1 to 65535"),
        ("beanstalkd://h:+7", "expected a port from 1 to 65535"),
        ("beanstalkd://h:x", "expected a port from 1 to 65535"),
        ("beanstalkd://a b", "expected the name or the address of a host"),
        ("beanstalkd://h?x=1", "expected the name or the address of a host"),
        ("beanstalkd://h#x", "expected the name or the address of a host"),
        ("beanstalkd://::1:11300", "put an IPv6 address in brackets"),
        ("beanstalkd://[::1", "a bracket is not closed"),
        ("beanstalkd://[::1]x", "expected a port from 1 to 65535"),
        ("beanstalkd://[host]", "expected an IPv6 address in the brackets"),
        ("beanstalkd://h/a b", "cannot be the name of a tube: a name has only letters and digits"),
        ("beanstalkd://h/t?x=1", "cannot be the name of a tube: a name has only letters and digits"),
        ("beanstalkd://h/a%20b", "cannot be the name of a tube: a name has only letters and digits"),
        ("beanstalkd://h/-a", "cannot be the name of a tube: a name does not begin with a hyphen"),
        (&format!("beanstalkd://h/{}", "x".repeat(201)), "cannot be the name of a tube: a name has at most 200 bytes"),
    ] {
        let error = load(None, &[("PULPO_QUEUE", place)], &[]).expect_err("refused");
        assert!(error.starts_with("PULPO_QUEUE: expected `queue` to be file:FOLDER, beanstalkd:"), "{place}: {error}");
        assert!(error.contains(reason), "{place}: {error}");
        let error = Config::default().queue(place).expect_err("refused").to_string();
        assert!(error.contains(reason), "{place}: {error}");
    }
}

#[test]
fn a_server_in_a_table_is_checked_as_in_the_short_form() {
    for (key, value, expected) in [
        (
            "beanstalkd_queue_adapter.host",
            "a b",
            "the name or the address of a host, without port or user, got \"a b\"",
        ),
        ("beanstalkd_queue_adapter.host", "h:11300", "the name or the address of a host, without port or user"),
        ("beanstalkd_queue_adapter.default_tube", "a b", "the name of a tube (a name has only letters and digits"),
        ("beanstalkd_queue_adapter.port", "0", "a whole number from 1 to 65535"),
        ("queues", "mail,a b", "names of tubes, not \"a b\" (a name has only letters and digits"),
    ] {
        let error = load(None, &[("PULPO_QUEUE", "beanstalkd://h")], &[(key, value)]).expect_err("refused");
        assert!(error.starts_with(&format!("the command line: expected `{key}` to be {expected}")), "{error}");
    }
}

#[test]
fn a_secret_is_in_no_error_and_in_no_debug_text() {
    for place in [
        "beanstalkd://me:sec/ret@host",
        "beanstalkd://sec@ret@host/tube",
        "beanstalkd://secret:ret@host",
        "beanstalkd://host/tube?token=secret",
        "redis://secret@host",
        "me:secret@host:11300",
        "file://me:secret@host/x",
    ] {
        for key in ["queue", "beanstalkd_queue_adapter.host", "listen", "concurrency"] {
            let error = load(None, &[], &[(key, place)]).expect_err("refused");
            assert!(!error.contains("sec") && !error.contains("ret@"), "{key}: {error}");
        }
        let error = Config::default().queue(place).expect_err("refused");
        assert!(!format!("{error} {error:?}").contains("sec"), "{error:?}");
        let environment = Some(HashMap::from([("PULPO_QUEUE".to_owned(), place.to_owned())]));
        let mut sources =
            Sources { environment, overrides: vec![("queue".into(), place.into())], ..Sources::default() };
        let shown = format!("{:?}", sources.set_default("queue", place));
        assert!(!shown.contains("sec") && shown.contains("PULPO_QUEUE"), "{shown}");
    }
    let error = load(None, &[("PULPO_QUEUE", "beanstalkd://me:secret@host")], &[]).expect_err("refused");
    assert!(error.ends_with("\"beanstalkd://***@host\": beanstalkd has no users: remove the part before the `@`"));
}

#[test]
fn unused_settings_are_checked_too() {
    let (_folder, path) = file("pulpo.toml", "queue = \"memory:\"\n\n[beanstalkd_queue_adapter]\nport = \"x\"\n");
    let error = load(Some(&path), &[], &[]).expect_err("refused");
    let expected = ":4: expected `beanstalkd_queue_adapter.port` to be a whole number from 1 to 65535, got \"x\"";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn a_value_of_another_type_is_reported_with_its_line() {
    for (name, text, expected) in [
        (
            "pulpo.toml",
            "\nconcurrency = \"3\"\n",
            ":2: expected `concurrency` to be a whole number from 1 to 1024, got \"3\"",
        ),
        (
            "pulpo.toml",
            "enable_banner = 2026-11-23\n",
            ":1: expected `enable_banner` to be true or false, got 2026-11-23",
        ),
        (
            "pulpo.toml",
            "queues = [\"a\", 2]\n",
            ":1: expected `queues` to be a list of names, or one string with commas, got a list",
        ),
        (
            "pulpo.json",
            "{\n  \"banner_name\":\n    true\n}\n",
            ":3: expected `banner_name` to be a string in quotes, got true",
        ),
        ("pulpo.json", "{\"listen\": null}", ":1: expected `listen` to be a string in quotes, got null"),
    ] {
        let (_folder, path) = file(name, text);
        let error = load(Some(&path), &[], &[]).expect_err("refused");
        assert!(error.ends_with(expected), "{error}");
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
    for (name, text, expected) in [
        ("pulpo.toml", "queue = \"memory:\"\nconcurrency = \n", "pulpo.toml:2: the configuration file is wrong: "),
        ("pulpo.json", "{\n\"concurrency\": }\n", "pulpo.json:2: the configuration file is wrong: expected value"),
        ("pulpo.json", "[]", "pulpo.json:1: the configuration file is wrong: expected an object"),
    ] {
        let (_folder, path) = file(name, text);
        let error = load(Some(&path), &[], &[]).expect_err("refused");
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn one_handler_and_one_queue_have_tables_of_their_own() {
    let text = r#"
queue = "memory:"

[queues.mail]
concurrency = 2

[queues.bulk]
enabled = false

[handlers.send_email]
max_attempts = 3
backoff = "10s..10m"
timeout = "none"
concurrency = 1

[handlers."billing.send"]
ttr = 90
batch = 7
linger = 0.5
priority = 1
"#;
    let (_folder, path) = file("pulpo.toml", text);
    let environment = [("PULPO_HANDLERS__SEND_EMAIL__MAX_ATTEMPTS", "4"), ("PULPO_QUEUES", "mail,bulk")];
    let overrides = [("handlers.billing.send.priority", "2"), ("queues.other.concurrency", "9")];
    let worker = load(Some(&path), &environment, &overrides).expect("a configuration").worker;
    assert_eq!(worker.queues, ["mail", "bulk"]);
    assert_eq!(worker.queue_options["mail"].concurrency, Some(2));
    assert_eq!(worker.queue_options["bulk"].enabled, Some(false));
    assert_eq!(worker.queue_options["other"].concurrency, Some(9));
    let email = &worker.handlers["send_email"];
    assert_eq!((email.max_attempts, email.timeout, email.concurrency), (Some(4), Some(None), Some(1)));
    assert_eq!(email.backoff.map(|backoff| backoff.to_string()).as_deref(), Some("10s..10m"));
    let billing = &worker.handlers["billing.send"];
    assert_eq!((billing.ttr, billing.linger), (Some(Duration::from_secs(90)), Some(Duration::from_millis(500))));
    assert_eq!((billing.batch, billing.priority.map(|priority| priority.get())), (Some(7), Some(2)));
    assert!(billing.origin.contains("pulpo.toml:"), "{}", billing.origin);
}

#[test]
fn the_queue_of_a_handler_cannot_be_configured() {
    let error = load(None, &[("PULPO_HANDLERS__MAIL__QUEUE", "x")], &[]).expect_err("refused");
    assert!(error.starts_with("PULPO_HANDLERS__MAIL__QUEUE: `handlers.mail.queue` cannot be configured"), "{error}");
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
    assert_eq!(config.backend.to_string(), "beanstalkd://queue.example:11300/shop");
    assert_eq!(config.worker.default_queue, "shop");
    assert_eq!(setting(&config, "socket_timeout"), "2s");
    let short = [table.as_slice(), &[("PULPO_QUEUE", "beanstalkd://other:7")]].concat();
    let config = load(None, &short, &[]).expect("a configuration");
    assert_eq!(config.backend.to_string(), "beanstalkd://other:7/shop");
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

#[test]
fn hosts_paths_and_tokens_of_the_dashboard_are_such_as_a_browser_can_send() {
    let hosts = load(None, &[("PULPO_DASHBOARD_HOSTS", "jobs.example.com, 192.0.2.7, 2001:db8::7, a_b")], &[]);
    assert_eq!(
        hosts.expect("hosts").worker.dashboard.hosts,
        ["jobs.example.com", "192.0.2.7", "2001:db8::7", "a_b"].map(str::to_owned)
    );
    for wrong in ["jobs.example.com:80", "[2001:db8::7]", "https://jobs.example.com", "*.example.com", "a b", "jöbs"] {
        let error = load(None, &[("PULPO_DASHBOARD_HOSTS", wrong)], &[]).expect_err(wrong);
        assert!(error.contains("without a scheme, a port, brackets or a star") && error.contains(wrong), "{error}");
    }
    for (path, read) in [("/ops/jobs", "/ops/jobs"), ("/ops/", "/ops"), ("/", ""), ("/a%20b/~c", "/a%20b/~c")] {
        let config = load(None, &[("PULPO_DASHBOARD_PATH", path)], &[]).expect(path);
        assert_eq!(config.worker.dashboard.path, read);
    }
    for wrong in
        ["ops", "//evil.example", "https://x.example/ops", "/a/../b", "/a?b", "/a#b", "/a b", "/\u{f6}", "/a;b"]
    {
        let error = load(None, &[("PULPO_DASHBOARD_PATH", wrong)], &[]).expect_err(wrong);
        assert!(error.contains("a path that begins with a slash"), "{error}");
    }
    for right in ["open sesame", "12345678", &"~".repeat(300)] {
        let config = load(None, &[("PULPO_DASHBOARD_TOKEN", right)], &[]).expect("a token");
        assert_eq!(config.worker.dashboard.token, Some(right.into()));
    }
    let long = "~".repeat(301);
    for wrong in ["seven77", "open sesam\u{e9}", "open\tsesame", " open sesame", &long] {
        let error = load(None, &[("PULPO_DASHBOARD_TOKEN", wrong)], &[]).expect_err(wrong);
        assert!(error.contains("8 to 300 printable ASCII characters"), "{error}");
        assert!(!error.contains(wrong), "{error}");
    }
    let (_folder, file) = file("pulpo.toml", "dashboard_token = 12345678\n");
    let error = load(Some(&file), &[], &[]).expect_err("a number");
    assert!(error.contains("in quotes") && !error.contains("12345678"), "{error}");
}
