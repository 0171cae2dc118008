//! A queue of an older version, opened by the current one.

use pulpo_tests::program::Sandbox;
use pulpo_tests::stored;
use pulpo_tests::wait::until;

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

fn old() -> Sandbox {
    let place = Sandbox::new();
    std::fs::create_dir(place.path("pulpo-data")).expect("made");
    let database = stored::old_queue(&place.path("pulpo-data/queue.db"));
    // An index that an older worker creates when a limit needs it.
    let index = "CREATE INDEX message_ready_by_type ON message(queue, request_type, priority, id) WHERE state = 0";
    database.execute_batch(index).expect("made");
    place
}

fn json(place: &Sandbox, arguments: &[&str]) -> serde_json::Value {
    let said = place.run(WORKER, arguments);
    assert_eq!(said.code, 0, "{}", said.err);
    serde_json::from_str(&said.out).expect("JSON")
}

#[test]
fn a_queue_of_0_1_is_brought_up_to_date_with_all_that_is_in_it() {
    let place = old();
    let list = json(&place, &["list", "--json"]);
    let seen: Vec<_> = list
        .as_array()
        .expect("a list")
        .iter()
        .map(|message| {
            let body = &message["message"]["body"]["payload"];
            (
                message["id"].clone(),
                message["state"].clone(),
                message["queue"].clone(),
                message["request_type"].clone(),
                body.clone(),
            )
        })
        .collect();
    let expected = [
        ("5", "ready", "side", "echo", serde_json::json!("grüße ☃")),
        ("4", "buried", "side", "echo", serde_json::json!("bad")),
        // Its worker was killed long ago.
        ("3", "ready", "pulpo", "nap", serde_json::json!(600_000)),
        ("2", "ready", "side", "echo", serde_json::json!("delayed")),
    ];
    let found = |state: &serde_json::Value| if *state == "delayed" { "ready".into() } else { state.clone() };
    for (one, (id, state, queue, request_type, body)) in seen.iter().zip(&expected) {
        // The delay and the lease have ended, because the clock has moved on.
        assert_eq!((&one.0, &found(&one.1), &one.2), (&(*id).into(), &(*state).into(), &(*queue).into()));
        assert_eq!((&one.3, &one.4), (&(*request_type).into(), body));
    }
    assert_eq!(seen.len(), 4);
    assert_eq!(list[1]["last_error"], "a bad word");
    assert_eq!((&list[1]["attempts"], &list[0]["priority"]), (&1.into(), &5.into()));
    let stats = json(&place, &["stats", "--json"]);
    let count = |column: &str| -> u64 {
        stats["counts"].as_array().expect("counts").iter().filter_map(|counts| counts[column].as_u64()).sum()
    };
    assert_eq!((count("ready") + count("delayed") + count("reserved"), count("buried")), (3, 1), "{stats}");
    assert_eq!(stats["totals"][0]["published"], 6);
    // Ids are not reused.
    assert!(place.run(WORKER, &["publish", "echo", "--payload", "new"]).out.contains("message 7"));
    let database = rusqlite::Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
    let archived: String =
        database.query_row("SELECT text FROM archive WHERE id = 1", [], |row| row.get(0)).expect("there");
    assert!(archived.contains("first"));
    let check: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
    assert_eq!(check, "ok");
    drop(database);
    // A worker can run it too.
    assert_eq!(place.run(WORKER, &["kick", "4"]).code, 0);
    assert_eq!(place.run(WORKER, &["resume", "side"]).code, 0);
    let worker = place.start(place.command(WORKER, &["work", "--log-level", "error"]));
    until("the old and the new ones have run", || {
        ["grüße ☃", "new", "asleep"].iter().all(|part| place.record().contains(part))
    });
    drop(worker);
}

#[test]
fn a_migrated_queue_is_refused_by_what_knows_only_the_version_before() {
    let place = old();
    assert_eq!(place.run(WORKER, &["stats"]).code, 0);
    let database = rusqlite::Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
    // A program of version 0.1 reads this first, and refuses the file.
    let version: i64 = database.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("a number");
    assert_eq!(version, 3);
    // A program that has it open does not find its columns any more.
    for statement in [
        "INSERT INTO message(queue, state, priority, until, ttr, due_since, enqueued_at, request_type, text)
         VALUES ('pulpo', 0, 1, NULL, 60000, 0, 0, 'echo', '{}')",
        "UPDATE message SET state = 2, lease = 'x-1', until = 5 WHERE id = 5",
        "UPDATE message SET until = 5 WHERE id = 5",
    ] {
        assert!(database.prepare(statement).is_err(), "{statement}");
    }
}
