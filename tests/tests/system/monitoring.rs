//! Monitoring of a worker: a dashboard for Grafana, and alert rules for Prometheus. Their queries
//! match the metrics that a worker provides.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use pulpo_tests::http::{ANYWHERE, address, ask};
use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;

const WORKER: &str = env!("CARGO_BIN_EXE_operator_worker");

fn contrib(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(contrib(name)).expect("a file of the repository")
}

/// Returns the metrics that a text names, without the suffixes of histograms.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with("pulpo_"));
    let plain = |word: &str| {
        let ends = ["_bucket", "_sum", "_count"];
        ends.iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word).to_owned()
    };
    words.map(plain).collect()
}

/// Returns the metrics at /metrics, for a queue with a spool, after each counted event has happened.
fn told() -> BTreeSet<String> {
    let place = Sandbox::new();
    let publish = |arguments: &[&str]| {
        let said = place.run(WORKER, arguments);
        assert_eq!(said.code, 0, "{}", said.err);
    };
    publish(&["publish", "pay", "--body", "{\"card\": 0}"]);
    publish(&["publish", "talk", "--payload", "hello"]);
    let mut worker = place.command(WORKER, &[&["work"], &ANYWHERE[..]].concat());
    worker.env("PULPO_SPOOL", format!("file:{}", place.path("spool").display()));
    let worker = place.start(worker);
    let address = address(&place);
    let mut text = String::new();
    until("both jobs are done with", || {
        text = ask(address, "GET", "/metrics", &[], "").body;
        let counted = ["pulpo_jobs_buried_total{", "pulpo_jobs_done_total{", "pulpo_jobs_published_total{"];
        counted.iter().all(|name| text.contains(name))
    });
    worker.signal("TERM");
    worker.end();
    metrics(&text)
}

#[test]
fn every_metric_that_is_queried_is_one_that_a_worker_exports() {
    let told = told();
    for name in ["grafana/pulpo.json", "prometheus/pulpo-alerts.yml"] {
        let asked = metrics(&read(name));
        assert!(asked.len() >= 8, "{name}: {asked:?}");
        let unknown: Vec<_> = asked.difference(&told).collect();
        assert!(unknown.is_empty(), "{name} asks for {unknown:?}, of {told:#?}");
    }
    let shown = metrics(&read("grafana/pulpo.json"));
    let of_jobs: BTreeSet<_> = told.iter().filter(|name| name.starts_with("pulpo_jobs_")).cloned().collect();
    assert!(of_jobs.len() >= 8, "{of_jobs:?}");
    let missing: Vec<_> = of_jobs.difference(&shown).collect();
    assert!(missing.is_empty(), "no panel of Grafana shows {missing:?}");
}

#[test]
fn each_panel_of_grafana_asks_and_says_what_it_shows() {
    let dashboard: serde_json::Value = serde_json::from_str(&read("grafana/pulpo.json")).expect("JSON");
    let variables: Vec<_> = dashboard["templating"]["list"].as_array().expect("variables").iter().collect();
    let names: BTreeSet<_> = variables.iter().filter_map(|one| one["name"].as_str()).collect();
    let panels = dashboard["panels"].as_array().expect("panels");
    assert!(panels.len() >= 10, "{} panels", panels.len());
    let mut places = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        assert!(!panel["description"].as_str().unwrap_or_default().is_empty(), "{title}");
        let at = &panel["gridPos"];
        assert!(places.insert((at["x"].as_u64(), at["y"].as_u64())), "{title} stands where another one does");
        let targets = panel["targets"].as_array().expect("targets");
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            let asked = target["expr"].as_str().expect("a query");
            assert!(!metrics(asked).is_empty(), "{title}: {asked}");
            let used = asked
                .split('$')
                .skip(1)
                .map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default());
            for variable in used.filter(|name| *name != "__rate_interval") {
                assert!(names.contains(variable), "{title} uses ${variable} of {names:?}");
            }
        }
    }
}

/// Runs promtool from the distribution's package `prometheus`.
fn promtool(arguments: &[&str]) -> String {
    let output = Command::new("promtool").args(arguments).output();
    let output = output.expect("expected promtool of the package `prometheus`: ./check --install");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn prometheus_takes_the_query_of_each_panel() {
    let dashboard: serde_json::Value = serde_json::from_str(&read("grafana/pulpo.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let queries: Vec<_> = panels
        .flat_map(|panel| panel["targets"].as_array().expect("targets"))
        .filter_map(|target| target["expr"].as_str())
        // As Grafana fills them in.
        .map(|asked| asked.replace("$__rate_interval", "5m").replace("$job", "a|b").replace("$queue", ".*"))
        .map(|asked| asked.replace("$request_type", "send|.*"))
        .collect();
    assert!(queries.len() >= 15 && !queries.concat().contains('$'), "{queries:#?}");
    let rules: Vec<_> = queries
        .iter()
        .enumerate()
        .map(|(number, query)| serde_json::json!({ "record": format!("panel:{number}"), "expr": query }))
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("panels.yml");
    // JSON is YAML.
    let all = serde_json::json!({ "groups": [{ "name": "panels", "rules": rules }] });
    std::fs::write(&file, all.to_string()).expect("written");
    let said = promtool(&["check", "rules", &file.display().to_string()]);
    assert!(said.contains(&format!("SUCCESS: {} rules found", queries.len())), "{said}");
}

#[test]
fn prometheus_takes_the_alert_rules() {
    let rules = contrib("prometheus/pulpo-alerts.yml");
    let said = promtool(&["check", "rules", &rules.display().to_string()]);
    let count = read("prometheus/pulpo-alerts.yml").matches("- alert: ").count();
    assert!(said.contains(&format!("SUCCESS: {count} rules found")), "{said}");
}

/// Each of two workers reports the counts and ages.
const SCENES: &str = r#"
rule_files: [RULES]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - { series: 'pulpo_queue_messages{instance="a",queue="mail",request_type="send",state="buried"}', values: '3x30' }
      - { series: 'pulpo_queue_messages{instance="b",queue="mail",request_type="send",state="buried"}', values: '3x30' }
      - { series: 'pulpo_queue_messages{instance="a",queue="mail",request_type="send",state="ready"}', values: '9x30' }
      - { series: 'pulpo_queue_oldest_ready_seconds{instance="a",queue="mail"}', values: '0+60x30' }
      - { series: 'pulpo_queue_reachable{instance="a"}', values: '1x10 0x20' }
      - { series: 'pulpo_queue_servers_unreachable{instance="a"}', values: '0x10 1x20' }
      - { series: 'pulpo_queue_servers_unreachable{instance="b"}', values: '0x30' }
      - { series: 'pulpo_worker_lanes{instance="a"}', values: '4x30' }
      - { series: 'pulpo_jobs_started_total{instance="a",request_type="send"}', values: '0+60x30' }
      - { series: 'pulpo_jobs_retried_total{instance="a",request_type="send"}', values: '0+30x30' }
      - { series: 'pulpo_jobs_buried_total{instance="a",request_type="send"}', values: '0+0x30' }
    alert_rule_test:
      - eval_time: 20m
        alertname: PulpoJobsBuried
        exp_alerts:
          - exp_labels: { severity: warning, queue: mail, request_type: send }
            exp_annotations:
              summary: '3 jobs of send in mail failed for good'
              description: 'See why with `list --state buried`, mend the cause, and try them again with `kick`.'
      - eval_time: 5m
        alertname: PulpoJobsWaitTooLong
        exp_alerts: []
      - eval_time: 20m
        alertname: PulpoJobsWaitTooLong
        exp_alerts:
          - exp_labels: { severity: warning, queue: mail }
            exp_annotations:
              summary: 'the oldest job in mail has waited for 20m 0s'
              description: 'Too few workers, a job type that no worker serves, or a paused queue: the dashboard says which.'
      - eval_time: 20m
        alertname: PulpoQueueUnreachable
        exp_alerts:
          - exp_labels: { severity: critical, instance: a }
            exp_annotations:
              summary: 'the worker at a cannot reach its queue'
              description: 'It tries again until the queue answers. Its /readyz says what is wrong.'
      - eval_time: 12m
        alertname: PulpoServerUnreachable
        exp_alerts: []
      - eval_time: 20m
        alertname: PulpoServerUnreachable
        exp_alerts:
          - exp_labels: { severity: warning }
            exp_annotations:
              summary: '1 servers of the queue cannot be reached'
              description: 'Their messages wait, and are missing in the counts. `stats` names the servers.'
      - eval_time: 25m
        alertname: PulpoManyRunsFail
        exp_alerts:
          - exp_labels: { severity: warning, request_type: send }
            exp_annotations:
              summary: '50% of the runs of send fail'
              description: 'The last errors are in `list --type send` and in the logs of the workers.'
      - eval_time: 20m
        alertname: PulpoNoWorkers
        exp_alerts: []
  - interval: 1m
    input_series:
      - { series: 'pulpo_queue_messages{instance="a",queue="mail",request_type="send",state="ready"}', values: '900+20x90' }
      - { series: 'pulpo_queue_messages{instance="a",queue="rest",request_type="send",state="ready"}', values: '5000+0x90' }
      - { series: 'pulpo_queue_measured_timestamp_seconds{instance="a"}', values: '0+60x10 600+0x80' }
      - { series: 'pulpo_jobs_lost_total{instance="a",request_type="send"}', values: '0+1x90' }
      - { series: 'pulpo_jobs_lost_total{instance="a",request_type="other"}', values: '7+0x90' }
      - { series: 'pulpo_worker_abandoned_runs{instance="a"}', values: '2+0x90' }
      - { series: 'pulpo_worker_abandoned_runs{instance="b"}', values: '0+0x90' }
      - { series: 'pulpo_spool_oldest_seconds{instance="a"}', values: '0+60x90' }
      - { series: 'pulpo_spool_refused_messages{instance="a"}', values: '3+0x90' }
      - { series: 'pulpo_worker_lanes{instance="a"}', values: '4+0x90' }
    alert_rule_test:
      - eval_time: 20m
        alertname: PulpoBacklogGrows
        exp_alerts: []
      - eval_time: 80m
        alertname: PulpoBacklogGrows
        exp_alerts:
          - exp_labels: { severity: warning, queue: mail }
            exp_annotations:
              summary: '2500 jobs wait in mail, and they become more'
              description: 'Workers do less than comes in. Add workers or lanes, or find out what runs take longer than before.'
      - eval_time: 15m
        alertname: PulpoCountsAreOld
        exp_alerts: []
      - eval_time: 30m
        alertname: PulpoCountsAreOld
        exp_alerts:
          - exp_labels: { severity: warning }
            exp_annotations:
              summary: 'the messages were last counted 20m 0s ago'
              description: 'Other alerts about waiting and buried jobs go by old numbers until the queue can be counted again.'
      - eval_time: 5m
        alertname: PulpoLeasesLost
        exp_alerts: []
      - eval_time: 30m
        alertname: PulpoLeasesLost
        exp_alerts:
          - exp_labels: { severity: warning, request_type: send }
            exp_annotations:
              summary: 'runs of send lose their leases'
              description: 'Their workers stood still for longer than the `ttr`: the jobs ran twice. Give the machine more room, or the handler a longer `ttr`.'
      - eval_time: 10m
        alertname: PulpoHandlersHang
        exp_alerts: []
      - eval_time: 20m
        alertname: PulpoHandlersHang
        exp_alerts:
          - exp_labels: { severity: warning, instance: a }
            exp_annotations:
              summary: '2 runs at a exceeded their timeout and have not returned'
              description: 'Their threads are lost until the worker is restarted. Give the handler time limits of its own.'
      - eval_time: 10m
        alertname: PulpoSpoolWaits
        exp_alerts: []
      - eval_time: 20m
        alertname: PulpoSpoolWaits
        exp_alerts:
          - exp_labels: { severity: warning, instance: a }
            exp_annotations:
              summary: 'publications have waited for 20m 0s on a'
              description: 'No server takes them. They are kept and go out when one is back.'
      - eval_time: 4m
        alertname: PulpoSpoolRefused
        exp_alerts: []
      - eval_time: 10m
        alertname: PulpoSpoolRefused
        exp_alerts:
          - exp_labels: { severity: warning, instance: a }
            exp_annotations:
              summary: 'the queue refused 3 publications in the spool on a'
              description: 'The command `spool` says why.'
  - interval: 1m
    input_series: []
    alert_rule_test:
      - eval_time: 10m
        alertname: PulpoNoWorkers
        exp_alerts:
          - exp_labels: { severity: critical }
            exp_annotations:
              summary: 'no worker takes jobs'
              description: 'Either none runs, or Prometheus cannot reach any: see its targets.'
"#;

#[test]
fn alerts_fire_when_they_should_and_not_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("scenes.yml");
    for alert in read("prometheus/pulpo-alerts.yml").lines().filter_map(|line| line.split_once("- alert: ")) {
        let fires = SCENES.split("alertname: ").skip(1).any(|scene| {
            let scene = scene.split("- eval_time").next().unwrap_or_default();
            scene.starts_with(alert.1) && scene.contains("exp_labels")
        });
        assert!(fires, "no scene in which {} fires", alert.1);
    }
    let rules = contrib("prometheus/pulpo-alerts.yml").canonicalize().expect("a file");
    std::fs::write(&file, SCENES.replace("RULES", &rules.display().to_string())).expect("written");
    promtool(&["test", "rules", &file.display().to_string()]);
}
