//! The unit for systemd and the image: what they set is known, and a stop is
//! given longer than a worker takes for it.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use pulpo_tests::program::Place;

const WORKER: &str = env!("CARGO_BIN_EXE_operated");

fn contrib(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib").join(name);
    std::fs::read_to_string(path).expect("a file of the repository")
}

/// All settings that a text makes, those that are commented out too.
fn settings(text: &str) -> Vec<(String, String)> {
    let words =
        text.split_whitespace().map(|word| word.trim_start_matches("#Environment=").trim_start_matches("Environment="));
    let pairs = words.filter_map(|word| word.split_once('=')).filter(|(key, _)| key.starts_with("PULPO_"));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn what_the_unit_and_the_image_set_is_known() {
    for (name, count) in [("pulpo-worker.service", 2), ("Dockerfile", 1)] {
        let settings = settings(&contrib(name));
        assert_eq!(settings.len(), count, "{name}: {settings:?}");
        let output = Place::new().command(WORKER, &["config"]).envs(settings.clone()).output().expect("started");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(settings.iter().all(|(key, value)| shown.contains(key) && shown.contains(value)), "{name}: {shown}");
    }
}

#[test]
fn the_unit_waits_longer_than_a_worker_for_its_jobs() {
    let unit = contrib("pulpo-worker.service");
    let seconds = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")?.strip_suffix('s'));
    let grace = pulpo::Config::default().worker.shutdown_grace.as_secs();
    assert!(seconds.and_then(|seconds| seconds.parse::<u64>().ok()).expect("seconds") > grace + 5);
    assert!(unit.contains("KillSignal=SIGTERM"));
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    // Where there is no systemd, there is nobody to ask.
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        let _ = writeln!(std::io::stderr(), "there is no systemd-analyze here: the unit is not verified");
        return;
    }
    let place = Place::new();
    let unit = place.path("pulpo-worker.service");
    std::fs::write(&unit, contrib("pulpo-worker.service").replace("/usr/local/bin/shop-worker", WORKER))
        .expect("written");
    let output = Command::new("systemd-analyze").arg("verify").arg(&unit).output().expect("started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains("pulpo-worker"), "{said}");
}
