//! The systemd unit and the image: their settings are known, and they allow more time for a stop
//! than a worker takes.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use pulpo_tests::program::Sandbox;

const WORKER: &str = env!("CARGO_BIN_EXE_operator_worker");

fn contrib(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib").join(name);
    std::fs::read_to_string(path).expect("a file of the repository")
}

/// Returns all environment settings in a text, including those commented out, except those without a value.
fn settings(text: &str) -> Vec<(String, String)> {
    let words = text.split_whitespace().map(|word| {
        let word = word.trim_start_matches('`').split('`').next().unwrap_or_default();
        word.trim_start_matches("#Environment=").trim_start_matches("Environment=")
    });
    let pairs = words.filter_map(|word| word.split_once('=')).filter(|(key, _)| key.starts_with("PULPO_"));
    let pairs = pairs.filter(|(_, value)| !value.contains('…'));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Returns the value of a key in the unit.
fn value<'a>(unit: &'a str, key: &str) -> Option<&'a str> {
    unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

/// Returns the unit's settings for the process with this number, including those commented out.
fn settings_of_unit(number: &str) -> Vec<(String, String)> {
    settings(&contrib("pulpo-worker.service").replace("%i", number))
}

#[test]
fn the_unit_and_the_image_set_known_variables() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let page = |name: &str| std::fs::read_to_string(docs.join(name)).expect("a page");
    let all = [
        ("pulpo-worker.service", settings_of_unit("1"), 2),
        ("Dockerfile", settings(&contrib("Dockerfile")), 2),
        ("running.md", settings(&page("running.md")), 1),
        ("configuration.md", settings(&page("configuration.md")), 1),
        ("operating.md", settings(&page("operating.md")), 1),
    ];
    for (name, settings, least) in all {
        assert!(settings.len() >= least, "{name}: {settings:?}");
        for (key, value) in settings {
            let output = Sandbox::new().command(WORKER, &["config"]).env(&key, &value).output().expect("started");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && said.is_empty(), "{name}: {key}={value}: {said}");
            let shown = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(shown.contains(&key), "{name}: {key}={value}: {shown}");
        }
    }
}

#[test]
fn several_processes_of_the_unit_are_one_user_in_one_folder() {
    let unit = contrib("pulpo-worker.service");
    assert_eq!(value(&unit, "DynamicUser"), Some("yes"));
    let user = value(&unit, "User").expect("a name: else systemd makes a user for each process");
    let state = value(&unit, "StateDirectory").expect("a folder");
    let folder = value(&unit, "WorkingDirectory").expect("a folder");
    assert_eq!(folder, format!("/var/lib/{state}"));
    for shared in [user, state] {
        assert!(!shared.contains('%'), "{shared} is another one for each process");
    }
    // Settings that only one process can use differ between the processes.
    let port = unit.split_whitespace().find(|word| word.contains("%i")).expect("a port by the process's number");
    for number in ["1", "2"] {
        let address = port.replace("%i", number);
        assert!(address.parse::<std::net::SocketAddr>().is_ok(), "{address}");
    }
}

#[test]
fn the_image_has_a_compiler_that_is_new_enough() {
    let dockerfile = contrib("Dockerfile");
    let has = dockerfile.lines().find_map(|line| line.strip_prefix("ARG RUST=1.")).expect("a version");
    let manifest =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml")).expect("a file");
    let needs = manifest.lines().find_map(|line| line.strip_prefix("rust-version = \"1.")).expect("a version");
    let needs = needs.trim_end_matches('"');
    assert!(has.parse::<u32>().expect("a number") >= needs.parse().expect("a number"), "{has}");
}

#[test]
fn each_stop_is_given_longer_than_a_worker_takes() {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/running.md")).expect("a page");
    let grace = pulpo::Config::default().worker.shutdown_grace.as_secs();
    for (text, before) in [
        (contrib("pulpo-worker.service"), "TimeoutStopSec="),
        (contrib("Dockerfile"), "docker stop --time "),
        (page.clone(), "docker stop --time "),
        (page, "terminationGracePeriodSeconds: "),
    ] {
        let (_, rest) = text.split_once(before).expect(before);
        let seconds: String = rest.chars().take_while(char::is_ascii_digit).collect();
        assert!(seconds.parse::<u64>().expect("seconds") > grace + 5, "{before}{seconds}");
    }
    assert!(contrib("pulpo-worker.service").contains("KillSignal=SIGTERM"));
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    // Without systemd, the unit cannot be verified.
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        let _ = writeln!(std::io::stderr(), "there is no systemd-analyze here: the unit is not verified");
        return;
    }
    let place = Sandbox::new();
    let text = contrib("pulpo-worker.service").replace("/usr/local/bin/shop-worker", WORKER);
    let for_several =
        text.replace("#Environment=PULPO_LISTEN=127.0.0.1:9100", "Environment=PULPO_LISTEN=127.0.0.1:910%i");
    assert_ne!(text, for_several);
    for (name, text) in [("shop-worker.service", text), ("shop-worker@.service", for_several)] {
        std::fs::write(place.path(name), text).expect("written");
        let unit = place.path(&name.replace('@', "@1"));
        let output = Command::new("systemd-analyze").arg("verify").arg(&unit).output().expect("started");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && !said.contains("shop-worker"), "{name}: {said}");
    }
}
