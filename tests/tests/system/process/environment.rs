//! Accidental environment variables do not keep pulpo from working, and mistakes in them are reported.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use pulpo_tests::program::{CommandOutput, Sandbox};

const WORKER: &str = env!("CARGO_BIN_EXE_operator_worker");
const PUBLISHER: &str = env!("CARGO_BIN_EXE_publisher");

/// The variables that Kubernetes sets in each pod for services called `pulpo` and `pulpo-queue`,
/// and Docker for a link called `pulpo`.
const INJECTED: [(&str, &str); 16] = [
    ("PULPO_SERVICE_HOST", "10.96.0.7"),
    ("PULPO_SERVICE_PORT", "8080"),
    ("PULPO_SERVICE_PORT_HTTP", "8080"),
    ("PULPO_PORT", "tcp://10.96.0.7:8080"),
    ("PULPO_PORT_8080_TCP", "tcp://10.96.0.7:8080"),
    ("PULPO_PORT_8080_TCP_PROTO", "tcp"),
    ("PULPO_PORT_8080_TCP_PORT", "8080"),
    ("PULPO_PORT_8080_TCP_ADDR", "10.96.0.7"),
    ("PULPO_PORT_53_UDP", "udp://10.96.0.7:53"),
    ("PULPO_PORT_132_SCTP_PROTO", "sctp"),
    ("PULPO_QUEUE_SERVICE_HOST", "10.96.0.8"),
    ("PULPO_QUEUE_SERVICE_PORT", "11300"),
    ("PULPO_QUEUE_PORT", "tcp://10.96.0.8:11300"),
    ("PULPO_QUEUE_PORT_11300_TCP", "tcp://10.96.0.8:11300"),
    ("PULPO_NAME", "/web/pulpo"),
    ("PULPO_ENV_LANG", "C"),
];

fn with<'a>(
    place: &Sandbox,
    arguments: &[&str],
    variables: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> CommandOutput {
    let mut command = place.command(WORKER, arguments);
    place.to_end(command.envs(variables))
}

const ONCE: [&str; 5] =
    ["work", "--set", "shutdown_after_number_of_empty_iterations=1", "--set", "sleep_duration=10ms"];

#[test]
fn variables_that_container_tooling_injects_are_ignored_silently() {
    let place = Sandbox::new();
    for arguments in [&["publish", "talk", "--body", "\"x\""][..], &["check"], &["config"], &["stats"], &ONCE] {
        let said = with(&place, arguments, INJECTED);
        assert_eq!(said.code, 0, "{arguments:?}: {}", said.err);
        assert!(
            !format!("{}{}", said.out, said.err).contains("is not a configuration key"),
            "{arguments:?}: {} {}",
            said.out,
            said.err
        );
    }
    // A producer, which has no command line.
    let said = place.to_end(place.command(PUBLISHER, &["3"]).envs(INJECTED));
    assert_eq!((said.code, said.err.as_str()), (0, ""));
}

#[test]
fn an_unknown_variable_is_one_warning_with_the_nearest_key() {
    let place = Sandbox::new();
    let variables = [("PULPO_SLEEP_DURATON", "1"), ("PULPO_ZZZ", "secret")];
    let warning = "PULPO_SLEEP_DURATON is not a configuration key and is ignored; did you mean PULPO_SLEEP_DURATION?";
    for arguments in [&["publish", "talk", "--body", "\"x\""][..], &["list"], &ONCE, &["config"], &["check"]] {
        let said = with(&place, arguments, variables);
        assert_eq!(said.code, 0, "{arguments:?}: {}", said.err);
        let told = format!("{}{}", said.out, said.err);
        assert_eq!(told.matches(warning).count(), 1, "{arguments:?}: {told}");
        assert_eq!(told.matches("PULPO_ZZZ is not a configuration key").count(), 1, "{arguments:?}: {told}");
        assert!(!told.contains("secret"), "{told}");
    }
    let said = with(&place, &["check", "--json"], variables);
    let json: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(json["warnings"][0]["kind"], "environment");
    assert_eq!((&json["ok"], json["warnings"].as_array().map(Vec::len)), (&true.into(), Some(2)));
}

#[test]
fn an_unknown_variable_need_not_be_text() {
    let place = Sandbox::new();
    let mut command = place.command(WORKER, &["publish", "talk", "--body", "\"x\""]);
    command.env("PULPO_ZZZ", OsString::from_vec(vec![0xff])).env(OsString::from_vec(b"PULPO_\xff".to_vec()), "x");
    let said = place.to_end(&mut command);
    assert_eq!(said.code, 0, "{}", said.err);
    let said = place.to_end(place.command(WORKER, &["check"]).env("PULPO_CONCURRENCY", OsString::from_vec(vec![0xff])));
    assert_eq!((said.code, said.out.as_str()), (1, "the environment variable PULPO_CONCURRENCY is not UTF-8 text\n"));
}

#[test]
fn an_empty_variable_is_not_set() {
    let place = Sandbox::new();
    let empty = [("PULPO_QUEUE", ""), ("PULPO_CONCURRENCY", ""), ("PULPO_ZZZ", ""), ("RUST_LOG", "")];
    let said = with(&place, &["publish", "talk", "--body", "\"x\""], empty);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(place.path("pulpo-data/queue.db").exists(), "the default");
}

#[test]
fn an_invalid_log_filter_is_refused_before_anything_is_done() {
    let place = Sandbox::new();
    let reason = "error parsing level filter: expected one of";
    for variable in ["pulpo=loud", "a=b=c"] {
        let expected = format!(
            "RUST_LOG: expected a level or levels by module, such as `debug` or `info,my_shop=debug`, got {variable:?}: {reason}"
        );
        for arguments in [&["work"][..], &["config"], &["publish", "talk", "--body", "\"x\""]] {
            let said = with(&place, arguments, [("RUST_LOG", variable)]);
            assert_eq!(said.code, 1);
            assert!(said.err.contains(&expected), "{arguments:?}: {}", said.err);
        }
        let said = with(&place, &["check"], [("RUST_LOG", variable)]);
        assert!(said.code == 1 && said.out.contains(&expected), "{}", said.out);
        // The flag takes precedence.
        assert_eq!(with(&place, &["check", "--log-level", "info"], [("RUST_LOG", variable)]).code, 0);
    }
    assert!(!place.path("pulpo-data").exists());
    assert_eq!(with(&place, &["check"], [("RUST_LOG", "info,pulpo=debug")]).code, 0);
}

/// Returns the names after `PULPO_`, up to a character that a variable cannot contain.
fn variables(text: &str) -> impl Iterator<Item = String> {
    let starts = text.match_indices("PULPO_").filter(|(at, _)| {
        // Not within another name.
        !text[..*at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
    });
    let names = starts.map(|(at, prefix)| {
        text[at + prefix.len()..].chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect::<String>()
    });
    names.filter(|name| !name.is_empty()).map(|name| format!("PULPO_{name}"))
}

fn pages(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if entry.is_dir() && name != "target" && !name.starts_with('.') {
            pages(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "md") {
            found.push(entry);
        }
    }
}

#[test]
fn each_variable_that_the_documentation_names_is_known() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut all = Vec::new();
    pages(&root, &mut all);
    let texts = all.iter().map(|page| fs::read_to_string(page).expect("a page"));
    let named: BTreeSet<String> = texts.flat_map(|text| variables(&text).collect::<Vec<_>>()).collect();
    assert!(named.contains("PULPO_QUEUE") && named.contains("PULPO_TORTURE_SECONDS"), "{named:?}");
    // Names from Kubernetes contain digits, which end them early here.
    let own = named.iter().filter(|name| !INJECTED.iter().any(|(injected, _)| injected.starts_with(name.as_str())));
    let place = Sandbox::new();
    for name in own {
        let said = with(&place, &["check"], [(name.as_str(), "1")]);
        assert!(!said.out.contains("is not a configuration key"), "{}", said.out);
    }
}
