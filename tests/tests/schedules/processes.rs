//! Real processes, which are killed at random moments.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::{until, within};

const WORKER: &str = env!("CARGO_BIN_EXE_scheduled_worker");

/// A worker process, killed on drop.
struct Process(Child);

impl Process {
    fn start(mut command: Command) -> Self {
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the messages that ran for each time.
fn ran(sandbox: &Sandbox) -> BTreeMap<DateTime<Utc>, BTreeSet<String>> {
    let mut ran: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for line in sandbox.record().lines() {
        let [_, id, at] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("a whole line, not {line:?}") };
        ran.entry(at.parse().unwrap()).or_default().insert(id.to_owned());
    }
    ran
}

/// Ten seconds, or the duration that a variable sets.
fn duration() -> Duration {
    let said = std::env::var("PULPO_SCHEDULE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(said.unwrap_or(10))
}

#[test]
fn killed_workers_publish_each_occurrence_once() {
    each_occurrence_is_once(&Sandbox::new());
}

#[test]
fn killed_workers_publish_each_occurrence_once_in_postgresql() {
    each_occurrence_is_once(&Sandbox::with_postgres());
}

/// Kills workers at random moments.
fn each_occurrence_is_once(sandbox: &Sandbox) {
    let start = || {
        let mut command = sandbox.command(WORKER, &["work", "--concurrency", "2"]);
        command.env("PULPO_LOG_REASONS", "true");
        Process::start(command)
    };
    let processes = if duration() > Duration::from_secs(30) { 8 } else { 4 };
    let mut workers: Vec<_> = (0..processes).map(|_| start()).collect();
    until("they run", || !ran(sandbox).is_empty());
    let end = Instant::now() + duration();
    while Instant::now() < end {
        // There is no condition to wait for: the moment is meant to be random.
        let pause = Duration::from_millis(fastrand::u64(50..400));
        let _ = within(pause, || false);
        let victim = fastrand::usize(..workers.len());
        workers[victim].kill();
        workers[victim] = start();
    }
    // All published jobs run in the end: killed jobs run again, once their leases have ended.
    let last = Utc::now();
    let first = *ran(sandbox).keys().next().unwrap();
    let seconds = (last - first).num_seconds();
    assert!(seconds + 3 >= duration().as_secs().cast_signed(), "from {first} to {last}");
    let times: Vec<_> = (0..seconds).map(|second| first + chrono::TimeDelta::seconds(second)).collect();
    let mut all = BTreeMap::new();
    let each_ran = within(Duration::from_secs(120), || {
        all = ran(sandbox);
        times.iter().all(|at| all.contains_key(at))
    });
    let missing: Vec<_> = times.iter().filter(|at| !all.contains_key(at)).collect();
    assert!(each_ran, "did not occur: {missing:?}");
    for at in times {
        assert_eq!(all[&at].len(), 1, "of {at}: {:?}", all[&at]);
    }
}

#[test]
fn a_queue_that_keeps_no_schedules_has_them_in_a_folder() {
    let sandbox = Sandbox::with_beanstalkd();
    for command in ["work", "check"] {
        let said = sandbox.run(WORKER, &[command]);
        assert_eq!(said.code, 1, "{said:?}");
        let all = said.out + &said.err;
        assert!(all.contains("runs by a schedule, and this queue keeps none"), "{all}");
        assert!(all.contains("schedule_store = \"file:./pulpo-schedules\""), "{all}");
    }
    let said = sandbox.run(WORKER, &["schedule"]);
    assert!(said.code == 1 && said.err.contains("schedule_store"), "{said:?}");
    let off = ["--set", "handlers.tick.cron=off", "--set", "handlers.report.cron=off"];
    assert_eq!(sandbox.run(WORKER, &[&["check"], &off[..]].concat()).code, 0);
    let store = ["--set", "schedule_store=file:schedules"];
    let checked = sandbox.run(WORKER, &[&["check"], &store[..]].concat());
    assert_eq!(checked.code, 0, "{checked:?}");
    // Three workers, and each time occurs once.
    let start = || Process::start(sandbox.command(WORKER, &[&["work"], &store[..]].concat()));
    let workers: Vec<_> = (0..3).map(|_| start()).collect();
    // A job may run later than the next one, but none is left out.
    until("it ran at each time for a while", || {
        let all = ran(&sandbox);
        let times: Vec<_> = all.keys().collect();
        times.len() >= 4 && times.windows(2).all(|pair| (*pair[1] - *pair[0]).num_seconds() == 1)
    });
    drop(workers);
    let all = ran(&sandbox);
    let doubled: Vec<_> = all.iter().filter(|(_, ids)| ids.len() != 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    let listed = sandbox.run(WORKER, &[&["schedule", "--json"], &store[..]].concat());
    let listed: serde_json::Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(listed[1]["name"], "tick");
    assert!(listed[1]["last"].is_string(), "{listed}");
}

#[test]
fn an_operator_lists_runs_pauses_and_resumes_schedules() {
    let sandbox = Sandbox::new();
    let schedule = |arguments: &[&str]| sandbox.run(WORKER, &[&["schedule"], arguments].concat());
    let json = |arguments: &[&str]| {
        let said = schedule(&[arguments, &["--json"]].concat());
        assert_eq!(said.code, 0, "{said:?}");
        serde_json::from_str::<serde_json::Value>(&said.out).unwrap()
    };
    let ran = json(&["run", "report"]);
    assert_eq!(ran["name"], "report");
    let listed = json(&[]);
    assert_eq!((&listed[0]["name"], &listed[0]["entry"]), (&"report".into(), &"0 3 29 2 * Europe/Berlin".into()));
    assert_eq!((&listed[0]["state"], &listed[0]["last"]), (&"new".into(), &serde_json::Value::Null));
    assert_eq!((&listed[1]["name"], &listed[1]["entry"]), (&"tick".into(), &"every 1s".into()));

    assert_eq!(json(&["pause", "report"])["was_paused"], false);
    let worker = Process::start(sandbox.command(WORKER, &["work"]));
    until("a worker has it", || json(&[])[1]["state"] == "waiting" || json(&[])[1]["state"] == "running");
    let listed = json(&[]);
    assert_eq!((&listed[0]["state"], &listed[0]["overdue"]), (&"paused".into(), &serde_json::Value::Null));
    let next: DateTime<Utc> = listed[0]["next"].as_str().unwrap().parse().unwrap();
    assert_eq!(next.format("%m-%d %H:%M").to_string(), "02-29 02:00");
    until("the job that was asked for ran", || sandbox.record().contains("report"));
    assert_eq!(json(&["resume", "report"])["was_paused"], true);
    drop(worker);

    let table = schedule(&[]).out;
    assert!(table.contains("NAME") && table.contains("0 3 29 2 * Europe/Berlin"), "{table}");
    for (name, advice) in [("reprot", "did you mean `report`?"), ("plain", "neither `cron` nor `every`")] {
        for action in ["run", "pause", "resume"] {
            let said = schedule(&[action, name]);
            assert!(said.code == 1 && said.err.contains(advice), "{action} {name}: {said:?}");
        }
    }
    // Each name once, although the queue knows both from the worker.
    let unlike = schedule(&["pause", "xxxxxxxx"]);
    assert!(unlike.err.ends_with("expected one of report, tick\n"), "{unlike:?}");
    let off = sandbox.run(WORKER, &["schedule", "--json", "--set", "handlers.tick.cron=off"]);
    assert!(off.out.contains("\"off\""), "{off:?}");
    let wrong = sandbox.run(WORKER, &["work", "--set", "handlers.tick.cron=* * * * *"]);
    assert!(wrong.code == 1 && wrong.err.contains("expected `handlers.tick.cron` to be \"off\""), "{wrong:?}");
}
