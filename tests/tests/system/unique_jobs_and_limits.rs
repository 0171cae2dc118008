//! Unique keys and limits across eight processes that are killed at random moments.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use pulpo_tests::postgres::PostgresServer;
use pulpo_tests::program::{Running, Sandbox};
use serde_json::json;

const WORKER: &str = env!("CARGO_BIN_EXE_limited_worker");

/// The number of processes of each kind.
const WORKERS: usize = 5;
const PRODUCERS: usize = 3;

/// The maximum delay, on a busy machine, between handing out a message and the start of its job.
const LATE: Duration = Duration::from_secs(3);

fn lines(place: &Sandbox, name: &str) -> Vec<String> {
    let path = place.path(&format!("record {name}"));
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[test]
fn each_key_is_once_and_no_limit_is_exceeded_whatever_is_killed() {
    whatever_is_killed(&Sandbox::new(), None);
}

#[test]
fn each_key_is_once_and_no_limit_is_exceeded_in_postgresql() {
    let server = PostgresServer::shared();
    whatever_is_killed(&Sandbox::new(), Some(&server.fresh_url()));
}

/// Kills workers and producers, on the queue of this URL or the embedded one.
fn whatever_is_killed(place: &Sandbox, url: Option<&str>) {
    let seconds = std::env::var("PULPO_MEASURE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let start = |arguments: &[&str]| {
        let mut command = place.command(WORKER, arguments);
        // There, several processes publish less often.
        if let Some(url) = url {
            command.env("PULPO_QUEUE", url).env("KEY_MILLIS", "120");
        }
        place.start(command)
    };
    let worker = || start(&["work", "--concurrency", "3", "--log-level", "error"]);
    // The first one of every two does more than the second one.
    let mut number = 0;
    let mut producer = || {
        number += 1;
        start(&["produce", &(number - 1).to_string()])
    };
    let mut workers: Vec<Running> = (0..WORKERS).map(|_| worker()).collect();
    let mut producers: Vec<Running> = (0..PRODUCERS).map(|_| producer()).collect();
    let mut random = fastrand::Rng::with_seed(17);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut kills = 0;
    // A machine that is busy elsewhere takes longer to start as many.
    let at_most = end + Duration::from_secs(90);
    let counts = || ["once", "started", "exclusive"].map(|name| lines(place, name).len());
    let is_enough = || counts().into_iter().zip([150, 85, 25]).all(|(count, least)| count > least);
    while Instant::now() < end || (kills <= 10 || !is_enough()) && Instant::now() < at_most {
        // The test depends on random moments of the kills.
        std::thread::park_timeout(Duration::from_millis(random.u64(20..300)));
        let is_worker = random.bool();
        let all = if is_worker { &mut workers } else { &mut producers };
        let killed = all.swap_remove(random.usize(..all.len()));
        killed.signal("KILL");
        killed.end();
        all.push(if is_worker { worker() } else { producer() });
        kills += 1;
    }
    for program in workers.into_iter().chain(producers) {
        program.signal("KILL");
        program.end();
    }
    assert!(kills > 10, "{kills} kills show little");
    assert_eq!(lines(place, "faults"), [""; 0]);

    let mut ids: HashMap<String, String> = HashMap::new();
    let once = lines(place, "once");
    for line in &once {
        let (key, id) = line.split_once(' ').expect("a key and an id");
        let before = ids.entry(key.to_owned()).or_insert_with(|| id.to_owned());
        assert_eq!(before, id, "two messages have the key {key}");
    }
    assert!(ids.len() > 50 && once.len() > ids.len() * 3 / 2, "{} of {}", ids.len(), once.len());

    let mut starts: Vec<u64> = lines(place, "started").iter().map(|line| line.parse().expect("a time")).collect();
    starts.sort_unstable();
    assert!(starts.len() > 20, "{} starts show little", starts.len());
    for periods in 1..=starts.len() / 40 {
        for (first, last) in starts.iter().zip(starts.iter().skip(40 * periods)) {
            let apart = Duration::from_micros(last - first);
            let least = Duration::from_secs(4) * u32::try_from(periods).expect("few");
            assert!(apart + LATE >= least, "{} starts within {apart:?}", 40 * periods + 1);
        }
    }

    let exclusive = lines(place, "exclusive");
    assert!(exclusive.len() > 20, "{} runs show little", exclusive.len());
    let faults: Vec<_> = exclusive.iter().filter(|line| !line.is_empty()).collect();
    assert!(faults.is_empty(), "of {}: {faults:?}", exclusive.len());
}

fn run(place: &Sandbox, arguments: &[&str]) -> (i32, String, String) {
    let said = place.run(WORKER, arguments);
    (said.code, said.out, said.err)
}

#[test]
fn a_publication_of_a_duplicate_says_so() {
    let place = Sandbox::new();
    let publish = ["publish", "fails", "--body", "{\"key\": 1}"];
    assert_eq!(run(&place, &publish).1, "published fails as message 1\n");
    assert_eq!(run(&place, &publish).1, "kept fails as message 1, which has the same unique key\n");
    let (code, out, _) = run(&place, &["publish", "fails", "--body", "{\"key\": 1}", "--count", "2", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let expected = serde_json::json!({"request_type": "fails", "ids": ["1", "1"], "publications": ["kept", "kept"]});
    assert_eq!((code, told), (0, expected));
}

#[test]
fn whole_messages_of_other_producers_are_taken() {
    let place = Sandbox::new();
    let messages = r#"{"header": {"request_type": "rated", "unique_key": "a", "unique_for": "waiting", "on_duplicate": "replace"}, "body": {"number": 1}}

{"header": {"request_type": "rated", "unique_key": "b", "trace": 7}, "body": {"number": 2}}
{"header": {"request_type": "fails", "priority": 3}, "body": {"key": 5}}
{"header": {"request_type": "fails"}, "body": {"key": 5}}
"#;
    let said = place.run_with_input(WORKER, &["publish", "--messages", "-", "--json"], messages);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(said.out.trim(), r#"{"ids":["1","2","3","3"],"publications":["new","new","new","kept"]}"#);
    std::fs::write(place.path("messages"), messages).expect("written");
    let (code, out, _) = run(&place, &["publish", "--messages", "@messages"]);
    assert_eq!((code, out.as_str()), (0, "published 0 messages, kept 3, replaced 1\n"));
    let (_, peeked, _) = run(&place, &["peek", "2", "--json"]);
    assert!(peeked.contains("\"trace\": 7") || peeked.contains("\"trace\":7"), "{peeked}");

    let bad = r#"{"header": {"request_type": "rated", "unique_key": "c", "unique_for": "ever"}, "body": {"number": 1}}
{"header": {"request_type": "rated", "unique_key": "c", "on_duplicate": "replace"}, "body": {"number": 1}}
{"header": {"request_type": "ratd"}, "body": {"number": 1}}
{"header": {"request_type": "rated"}, "body": {"number": "1"}}
{"header": {"request_type": "rated"}, "body": {"number": 1}}
"#;
    let said = place.run_with_input(WORKER, &["publish", "--messages", "-"], bad);
    assert_eq!(said.code, 1, "{}", said.out);
    for part in [
        "line 1 of standard input: `unique_for`: expected",
        "line 2 of standard input: `on_duplicate` can be \"replace\" only where",
        "line 3 of standard input: no handler for the request type \"ratd\"; did you mean \"rated\"?",
        "line 4 of standard input: the body does not fit",
        "4 of 5 lines are bad, and nothing was published",
    ] {
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
}

#[test]
fn a_kick_names_what_it_leaves() {
    let place = Sandbox::new();
    let publish = ["publish", "fails", "--body", "{\"key\": 1}"];
    let drain = ["work", "--log-level", "error", "--set", "sleep_duration=200ms"];
    let _ = run(&place, &publish);
    let mut work = place.command(WORKER, &drain);
    let said = place.to_end(work.env("PULPO_SHUTDOWN_AFTER_NUMBER_OF_EMPTY_ITERATIONS", "1"));
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(run(&place, &publish).1, "published fails as message 2\n");
    let (code, out, err) = run(&place, &["kick", "1"]);
    assert_eq!((code, out.as_str()), (1, "left 1: its key is taken by 2\n"), "{err}");
    let (code, out, _) = run(&place, &["kick", "--all", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &told["kicked"]), (0, &0.into()));
    assert_eq!(told["left"], serde_json::json!([{"id": "1", "taken_by": "2"}]));
    assert_eq!(run(&place, &["delete", "2"]).0, 0);
    assert_eq!(run(&place, &["kick", "1"]).1, "kicked 1\n");
}

#[test]
fn a_queue_that_keeps_neither_says_so_before_anything_is_lost() {
    let place = Sandbox::with_beanstalkd();
    let (code, _, err) = run(&place, &["publish", "fails", "--body", "{\"key\": 1}"]);
    assert_eq!(code, 1);
    assert!(err.contains("keep messages unique: use one that can (`file:FOLDER`"), "{err}");
    for command in ["check", "work"] {
        let (code, out, err) = run(&place, &[command]);
        let told = format!("{out}{err}");
        assert_eq!(code, 1, "{told}");
        assert!(told.contains("is unique, and this queue cannot keep jobs unique"), "{told}");
        assert!(told.contains("has `rate` over all workers, which this queue cannot keep"), "{told}");
        assert!(told.contains("`concurrency` in `[handlers.exclusive]`"), "{told}");
    }
}

#[test]
fn a_limit_of_a_queue_that_it_cannot_keep_is_refused_in_words() {
    const PLAIN_WORKER: &str = env!("CARGO_BIN_EXE_long_lease_worker");
    let place = Sandbox::with_beanstalkd();
    for (setting, key) in [
        ("queues.mail.rate=10/1s", "`queues.mail.rate` holds over all workers"),
        ("queues.mail.limit=1", "`queues.mail.limit` holds over all workers"),
        (
            "queues.mail.rate=10/1s queues.mail.limit=1",
            "`queues.mail.rate` and `queues.mail.limit` hold over all workers",
        ),
        ("handlers.hang.rate=10/1s", "has `rate` over all workers"),
        ("handlers.hang.limit=1", "has `limit` over all workers"),
    ] {
        for command in ["check", "work"] {
            let settings = setting.split(' ').flat_map(|setting| ["--set", setting]);
            let said = place.run(PLAIN_WORKER, &std::iter::once(command).chain(settings).collect::<Vec<_>>());
            let told = format!("{}{}", said.out, said.err);
            assert_eq!(said.code, 1, "{setting}: {told}");
            assert!(told.contains(key), "{setting}: {told}");
            assert!(told.contains("this queue cannot keep: use one that can"), "{setting}: {told}");
            assert!(told.contains("concurrency"), "{setting}: {told}");
        }
    }
    assert_eq!(place.run(PLAIN_WORKER, &["check"]).code, 0);
    // A period that no queue can keep is refused where it is written.
    let said = place.run(PLAIN_WORKER, &["check", "--set", "queues.mail.rate=1/10000y"]);
    assert!(said.code != 0 && said.out.contains("some 136 years"), "{said:?}");
}

#[test]
fn a_unique_scheduled_job_reports_its_publication() {
    let place = Sandbox::new();
    let run_now = |arguments: &[&str]| run(&place, &[&["schedule", "run", "yearly"], arguments].concat());
    assert_eq!(run_now(&[]), (0, "published yearly as message 1\n".to_owned(), String::new()));
    assert_eq!(run_now(&[]).1, "kept yearly as message 1, which has the same unique key\n");
    let told: serde_json::Value = serde_json::from_str(&run_now(&["--json"]).1).expect("JSON");
    assert_eq!((&told["id"], &told["publication"]), (&"1".into(), &"kept".into()));
    assert_eq!(run(&place, &["delete", "1"]).0, 0);
    let told: serde_json::Value = serde_json::from_str(&run_now(&["--json"]).1).expect("JSON");
    assert_eq!((&told["id"], &told["publication"]), (&"2".into(), &"new".into()));
}

#[test]
fn an_operator_sees_which_jobs_are_scheduled_unique_or_limited() {
    let place = Sandbox::new();
    let said = place.run(WORKER, &["handlers", "--json"]);
    let all: Vec<serde_json::Value> = serde_json::from_str(&said.out).expect("JSON");
    let of = |name: &str| all.iter().find(|handler| handler["request_type"] == name).expect("a handler");
    let (yearly, waits, exclusive) = (of("yearly"), of("waits"), of("exclusive"));
    assert_eq!((&yearly["schedule"], &yearly["unique"]), (&json!(["0 3 29 2 *"]), &json!("")));
    assert_eq!((&waits["unique"], &waits["policy"]["unique_for"]), (&json!("key"), &json!("waiting")));
    assert_eq!(waits["policy"]["on_duplicate"], "keep");
    assert_eq!(of("rated")["policy"]["rate"], "40/4s");
    assert_eq!((&exclusive["policy"]["limit"], &exclusive["policy"]["limit_by"]), (&json!(2), &json!(1)));
    let table = place.run(WORKER, &["handlers"]).out;
    for rules in ["0 3 29 2 *; unique\n", "unique by key\n", "rate 40/4s\n", "limit 2; limit_by 1\n", " RULES\n"] {
        assert!(table.contains(rules), "{rules}: {table}");
    }
}
