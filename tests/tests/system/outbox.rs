//! Jobs published in a user's transaction: they exist if and only if it commits.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use pulpo::{Config, Message, OnDuplicate, PublishError, Pulpo};
use pulpo_tests::program::{CommandOutput, Running, Sandbox};
use pulpo_tests::wait::{until, within};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

mod killed;
mod postgres;

const SERVICE: &str = env!("CARGO_BIN_EXE_order_service");

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Invoice {
    order: i64,
}

#[pulpo::handler("invoice", queue = "invoices", priority = 5, ttr = "90s")]
fn invoice(_: Invoice) {}

/// Creates the database of a shop in the folder.
fn shop(place: &Sandbox) -> Connection {
    let mut shop = Connection::open(place.path("shop.db")).expect("a database");
    shop.busy_timeout(Duration::from_secs(30)).expect("set");
    let mode: String = shop.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).expect("set");
    assert_eq!(mode, "wal");
    shop.execute_batch("CREATE TABLE IF NOT EXISTS orders(id INTEGER PRIMARY KEY)").expect("a table");
    pulpo::outbox::create(&mut shop).expect("a table");
    shop
}

/// Opens a queue in the folder, in this process.
fn pulpo(place: &Sandbox) -> Pulpo {
    let queue = format!("file:{}", place.path("pulpo-data").display());
    Pulpo::new(Config::default().queue(&queue).expect("a queue")).expect("opened")
}

fn waiting(shop: &Connection) -> i64 {
    shop.query_row("SELECT count(*) FROM pulpo_outbox", [], |row| row.get(0)).expect("a count")
}

fn service(place: &Sandbox, arguments: &[&str]) -> std::process::Command {
    let mut command = place.command(SERVICE, arguments);
    command.env("SHOP", place.path("shop.db")).env("PULPO_OUTBOX", "sqlite:shop.db");
    command
}

fn to_end(place: &Sandbox, arguments: &[&str]) -> CommandOutput {
    place.to_end(&mut service(place, arguments))
}

fn start(place: &Sandbox, arguments: &[&str]) -> Running {
    place.start(service(place, arguments))
}

fn well(place: &Sandbox, arguments: &[&str]) -> String {
    let said = to_end(place, arguments);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{arguments:?}");
    said.out
}

fn as_json(place: &Sandbox, arguments: &[&str]) -> Value {
    serde_json::from_str(&well(place, arguments)).expect("JSON")
}

#[test]
fn a_job_is_there_if_and_only_if_its_transaction_commits() {
    let place = Sandbox::new();
    let (mut shop, pulpo) = (shop(&place), pulpo(&place));
    let mut transaction = shop.transaction().expect("begun");
    transaction.execute("INSERT INTO orders VALUES (1)", []).expect("an order");
    let sent = pulpo.publish_in(&mut transaction, Invoice { order: 1 }).expect("published");
    assert_eq!(sent.id().expect("an id").as_str(), "outbox/1");
    // No other connection sees it before the commit.
    assert_eq!(well(&place, &["relay", "--once"]), "moved 0 jobs\n");
    transaction.commit().expect("committed");

    let mut transaction = shop.transaction().expect("begun");
    pulpo.publish_in(&mut transaction, Invoice { order: 2 }).expect("published");
    transaction.rollback().expect("rolled back");
    // Within a savepoint, and without any transaction.
    let mut transaction = shop.transaction().expect("begun");
    let mut savepoint = transaction.savepoint().expect("begun");
    pulpo.publish_in(&mut savepoint, Invoice { order: 3 }).expect("published");
    savepoint.rollback().expect("rolled back");
    drop(savepoint);
    transaction.commit().expect("committed");
    pulpo.publish_in(&mut shop, Message::new(Invoice { order: 4 })).expect("published");

    assert_eq!(well(&place, &["relay", "--once"]), "moved 2 jobs\n");
    assert_eq!(waiting(&shop), 0);
    let listed = as_json(&place, &["list", "--json"]);
    let bodies: Vec<_> =
        listed.as_array().expect("a list").iter().map(|message| message["message"]["body"].clone()).collect();
    assert_eq!(bodies, [json!({ "order": 4 }), json!({ "order": 1 })]);
}

#[test]
fn a_job_comes_to_its_queue_with_all_that_its_message_says() {
    let place = Sandbox::new();
    let (mut shop, pulpo) = (shop(&place), pulpo(&place));
    let delay: chrono::DateTime<chrono::Utc> = "2100-01-01T00:00:00Z".parse().expect("a time");
    let message =
        Message::new(Invoice { order: 1 }).priority(7).delay(delay).header("source", json!({ "a": [1, 2.50] }));
    let sent = pulpo.publish_in(&mut shop, message).expect("published");
    // The earlier id leads to it.
    assert_eq!(pulpo.resolve(sent.id().expect("an id")).expect("asked"), None);
    well(&place, &["relay", "--once"]);
    let id = pulpo.resolve(sent.id().expect("an id")).expect("asked").expect("moved");
    let stored = pulpo.queue().peek(&id).expect("asked").expect("there");
    assert_eq!((stored.queue.as_str(), stored.priority.get(), stored.until), ("invoices", 7, Some(delay)));
    assert_eq!(stored.ttr, Some(Duration::from_secs(90)));
    let shown = as_json(&place, &["peek", "outbox/1", "--json"]);
    assert_eq!(shown["id"], id.as_str());
    assert_eq!(shown["message"]["header"]["source"], json!({ "a": [1, 2.50] }));
    assert_eq!(shown["message"]["header"]["shape"], pulpo::__private::shape_id::<Invoice>());
    let outbox_id = shown["message"]["header"]["outbox_id"].as_str().expect("an id");
    assert!(outbox_id.starts_with("1/") && outbox_id.len() == 34, "{outbox_id}");
    let refused = to_end(&place, &["peek", "outbox/2"]);
    assert!(refused.code == 1 && refused.err.contains("there is no message outbox/2"), "{}", refused.err);
}

#[test]
fn each_job_that_is_dropped_because_its_key_is_taken_is_named_in_the_log() {
    let place = Sandbox::new();
    let (mut shop, pulpo) = (shop(&place), pulpo(&place));
    for (order, on_duplicate) in [(1, OnDuplicate::Keep), (2, OnDuplicate::Reject), (3, OnDuplicate::Reject)] {
        let message = Message::new(Invoice { order }).unique_key("the invoice").on_duplicate(on_duplicate);
        pulpo.publish_in(&mut shop, message).expect("published");
    }
    let said = to_end(&place, &["relay", "--once"]);
    assert_eq!((said.code, said.err.matches("dropped a job of the outbox").count()), (0, 2), "{}", said.err);
    assert_eq!((waiting(&shop), waiting_in(&pulpo)), (0, 1));
}

#[test]
fn any_client_publishes_by_the_statement_of_prepare() {
    let place = Sandbox::new();
    let (shop, pulpo) = (shop(&place), pulpo(&place));
    let row = pulpo.prepare(Invoice { order: 1 }).expect("prepared");
    assert_eq!(shop.execute(row.sql(), [row.message()]).expect("a row"), 1);
    // As a producer in another language would: only with SQL.
    shop.execute(
        "INSERT INTO pulpo_outbox(message) VALUES (?1)",
        [r#"{"header": {"request_type": "order_paid"}, "body": {"id": 8}}"#],
    )
    .expect("a row");
    assert_eq!(as_json(&place, &["relay", "--once", "--json"]), json!({ "moved": 2, "refused": 0 }));
    let listed = as_json(&place, &["list", "--json"]);
    // The job without a queue goes to the queue of its handler.
    let queues: Vec<_> = listed.as_array().expect("a list").iter().map(|message| message["queue"].clone()).collect();
    assert_eq!(queues, ["orders", "invoices"]);
}

#[test]
fn an_unreadable_row_is_buried_with_the_reason_and_delays_no_other() {
    let place = Sandbox::new();
    let shop = shop(&place);
    for text in ["not JSON", "{}", r#"{"header": {"request_type": "order_paid"}, "body": {"id": "x"}}"#] {
        shop.execute("INSERT INTO pulpo_outbox(message) VALUES (?1)", [text]).expect("a row");
    }
    let good = r#"{"header": {"request_type": "order_paid"}, "body": {"id": 8}}"#;
    shop.execute("INSERT INTO pulpo_outbox(message) VALUES (?1)", [good]).expect("a row");
    let mut worker = service(&place, &["work", "--set", "shutdown_after_number_of_empty_iterations=1"]);
    worker.env("PULPO_SLEEP_DURATION", "100ms").env("PULPO_QUEUES", "orders,pulpo");
    assert_eq!(place.to_end(&mut worker).code, 0);
    assert_eq!((place.record().as_str(), waiting(&shop)), ("8\n", 0));
    let buried = as_json(&place, &["list", "--state", "buried", "--json"]);
    assert_eq!(buried.as_array().expect("a list").len(), 3);
}

#[test]
fn a_commit_of_the_workers_own_process_is_followed_by_its_job_at_once() {
    let place = Sandbox::new();
    let mut shop = shop(&place);
    let mut config = Config::default().queue(&format!("file:{}", place.path("pulpo-data").display())).expect("a queue");
    config.worker.outbox = vec![format!("sqlite:{}", place.path("shop.db").display()).parse().expect("a URL")];
    // Only a notification can be fast enough here; and moved jobs stay in the queue.
    config.worker.queues = vec!["another".to_owned()];
    config.worker.outbox_poll = Duration::from_secs(3600);
    let pulpo = Pulpo::new(config).expect("opened");
    let worker = pulpo.worker().expect("handlers");
    let stopper = worker.stopper();
    let running = std::thread::spawn(move || worker.run());
    for order in 1..=3 {
        let mut transaction = shop.transaction().expect("begun");
        pulpo.publish_in(&mut transaction, Invoice { order }).expect("published");
        // The transaction may take time after that.
        assert!(!within(Duration::from_millis(40), || waiting_in(&pulpo) == order as u64));
        transaction.commit().expect("committed");
        until("the job is in the queue", || waiting_in(&pulpo) == order as u64);
    }
    stopper.stop();
    running.join().expect("no panic").expect("well");
}

fn waiting_in(pulpo: &Pulpo) -> u64 {
    pulpo.queue().stats().expect("counted").counts.iter().map(|counts| counts.ready).sum()
}

#[test]
fn rows_that_another_process_commits_are_found_by_polling() {
    let place = Sandbox::new();
    let shop = shop(&place);
    let _worker = start(&place, &["work"]);
    well(&place, &["orders", "1", "4"]);
    until("the jobs are done", || lines(&place) == BTreeSet::from([2, 4]));
    until("the rows are gone", || waiting(&shop) == 0);
}

fn lines(place: &Sandbox) -> BTreeSet<i64> {
    place.record().lines().map(|line| line.parse().expect("a number")).collect()
}

#[test]
fn a_row_that_comes_again_is_taken_once() {
    let place = Sandbox::new();
    let (mut shop, pulpo) = (shop(&place), pulpo(&place));
    for order in 1..=300 {
        pulpo.publish_in(&mut shop, Invoice { order }).expect("published");
    }
    // The state that a relay leaves if it dies between the two databases: the messages are in the
    // queue, and the rows are still in the outbox.
    shop.execute_batch(&format!("VACUUM INTO '{}'", place.path("before.db").display())).expect("a copy");
    assert_eq!(well(&place, &["relay", "--once"]), "moved 300 jobs\n");
    for moved_again in 0..2 {
        fs::copy(place.path("before.db"), place.path("again.db")).expect("a copy");
        let mut relay = service(&place, &["relay", "--once"]);
        let said = place.to_end(relay.env("PULPO_OUTBOX", "sqlite:again.db"));
        assert_eq!(said.out, "moved 300 jobs\n", "{moved_again} {}", said.err);
    }
    assert_eq!(waiting_in(&pulpo), 300);
    // Even if the job was done long ago.
    assert_eq!(pulpo.queue().delete(&pulpo::queue::Filter::all()).expect("deleted"), 300);
    fs::copy(place.path("before.db"), place.path("again.db")).expect("a copy");
    assert_eq!(place.to_end(service(&place, &["relay", "--once"]).env("PULPO_OUTBOX", "sqlite:again.db")).code, 0);
    assert_eq!(waiting_in(&pulpo), 0);
}

#[test]
fn a_new_outbox_with_the_numbers_of_an_old_one_is_another() {
    let place = Sandbox::new();
    let (mut shop, pulpo) = (shop(&place), pulpo(&place));
    pulpo.publish_in(&mut shop, Invoice { order: 1 }).expect("published");
    well(&place, &["relay", "--once"]);
    shop.execute_batch("DROP TABLE pulpo_outbox").expect("dropped");
    pulpo::outbox::create(&mut shop).expect("a table");
    let sent = pulpo.publish_in(&mut shop, Invoice { order: 2 }).expect("published");
    assert_eq!(sent.id().expect("an id").as_str(), "outbox/1");
    assert_eq!(well(&place, &["relay", "--once"]), "moved 1 job\n");
    assert_eq!(waiting_in(&pulpo), 2);
}

#[test]
fn two_relays_at_once_move_each_job_once() {
    let place = Sandbox::new();
    let (mut shop, pulpo) = (shop(&place), pulpo(&place));
    let relays = [start(&place, &["relay"]), start(&place, &["relay"])];
    for order in 1..=500 {
        pulpo.publish_in(&mut shop, Invoice { order }).expect("published");
    }
    until("all are moved", || waiting(&shop) == 0 && waiting_in(&pulpo) == 500);
    for relay in relays {
        relay.signal("TERM");
        assert_eq!(relay.end(), 0);
    }
    assert_eq!(waiting_in(&pulpo), 500);
}

#[test]
fn a_row_that_the_queue_refuses_for_good_stays_and_the_others_go() {
    let place = Sandbox::with_beanstalkd();
    let shop = shop(&place);
    let row = |id: i64, pad: &str| {
        let text = json!({ "header": { "request_type": "order_paid" }, "body": { "id": id, "pad": pad } });
        shop.execute("INSERT INTO pulpo_outbox(message) VALUES (?1)", [text.to_string()]).expect("a row");
    };
    row(1, "");
    row(2, &"x".repeat(100_000));
    row(3, "");
    let said = to_end(&place, &["relay", "--once", "--json"]);
    let moved: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((said.code, moved), (1, json!({ "moved": 2, "refused": 1 })), "{}", said.err);
    assert!(said.err.contains("error: not all jobs were moved: the queue refuses 1"), "{}", said.err);
    assert!(said.err.contains("the queue refuses a job of the outbox") && said.err.contains("row=2"), "{}", said.err);
    assert_eq!(waiting(&shop), 1);
    let shown = as_json(&place, &["outbox", "--json"]);
    assert_eq!((&shown[0]["waiting"], &shown[0]["refused"]), (&json!(0), &json!(1)));
    assert!(well(&place, &["outbox"]).ends_with("shop.db: 0 waiting, 1 refused\n"));
    // It stays refused, and is not tried at once.
    let again = to_end(&place, &["relay", "--once"]);
    assert_eq!((again.code, again.out.as_str()), (1, "moved 0 jobs\n"), "{}", again.err);
}

#[test]
fn a_queue_that_is_away_keeps_the_rows_waiting() {
    let place = Sandbox::new();
    let shop = shop(&place);
    // Not with a database that the service could reach through a server.
    let row = r#"{"header": {"request_type": "order_paid"}, "body": {"id": 1}}"#;
    shop.execute("INSERT INTO pulpo_outbox(message) VALUES (?1)", [row]).expect("a row");
    let mut away = service(&place, &["relay", "--once"]);
    let said = place.to_end(away.env("PULPO_QUEUE", "beanstalkd://127.0.0.1:1"));
    assert_eq!(said.code, 1);
    assert!(said.err.starts_with("error: cannot move jobs from the outbox at sqlite:"), "{}", said.err);
    // At once, not when the claim ends.
    assert_eq!(well(&place, &["relay", "--once"]), "moved 1 job\n");
}

#[test]
fn a_missing_table_is_an_error_that_says_how_to_make_it() {
    let place = Sandbox::new();
    let mut shop = Connection::open(place.path("shop.db")).expect("a database");
    let error = pulpo(&place).publish_in(&mut shop, Invoice { order: 1 }).expect_err("refused");
    let PublishError::Transaction(error) = error else { panic!("{error}") };
    assert!(error.to_string().contains("`outbox --sql sqlite`"), "{error}");
    let said = to_end(&place, &["relay", "--once"]);
    assert!(said.code == 1 && said.err.contains("has no table `pulpo_outbox`"), "{}", said.err);
    // The suggested SQL works, even if it is run twice.
    let sql = well(&place, &["outbox", "--sql", "sqlite"]);
    shop.execute_batch(&sql).and_then(|()| shop.execute_batch(&sql)).expect("a table");
    assert_eq!(well(&place, &["relay", "--once"]), "moved 0 jobs\n");
    assert!(well(&place, &["outbox", "--sql", "postgres"]).contains("GENERATED ALWAYS AS IDENTITY"));
}

#[test]
fn an_outbox_that_cannot_be_meant_is_refused_before_anything_is_done() {
    let place = Sandbox::new();
    for (value, expected) in [
        ("shop.db", "to be sqlite:FILE or postgres://USER@HOST/DATABASE"),
        ("sqlite:shop.db,mysql://me:secret@host/shop", "to be sqlite:FILE or postgres://USER@HOST/DATABASE"),
        ("sqlite::memory:", "to be a file after `sqlite:`, since"),
    ] {
        let mut command = service(&place, &["relay", "--once"]);
        let said = place.to_end(command.env("PULPO_OUTBOX", value));
        assert!(said.code == 1 && said.err.contains(expected) && !said.err.contains("secret"), "{value}: {}", said.err);
    }
    let mut command = place.command(SERVICE, &["relay"]);
    let said = place.to_end(&mut command);
    assert!(said.code == 2 && said.err.contains("no outbox is configured"), "{}", said.err);
    for command in [&["relay", "--once"] as &[&str], &["outbox"]] {
        let said = to_end(&place, command);
        let expected = "/shop.db: there is no such file\n";
        assert!(said.code == 1 && said.err.starts_with("error: cannot read the outbox at sqlite:"), "{}", said.err);
        assert!(said.err.ends_with(expected) && said.err.lines().count() == 1, "{}", said.err);
    }
    assert!(!place.path("shop.db").exists());
    // Before a worker starts, which would wait for it.
    let said = to_end(&place, &["check"]);
    assert!(said.code == 1 && said.out.contains("cannot read the outbox at sqlite:"), "{} {}", said.out, said.err);
    assert!(said.out.contains("/shop.db: there is no such file\n") && said.err == "error: 1 problem\n", "{}", said.err);
    Connection::open(place.path("shop.db")).and_then(|shop| shop.execute_batch("CREATE TABLE a(b)")).expect("a table");
    let checked: Value = serde_json::from_str(&to_end(&place, &["check", "--json"]).out).expect("JSON");
    let problem = &checked["problems"][0];
    assert_eq!((&checked["ok"], &problem["kind"]), (&json!(false), &json!("outbox")), "{checked}");
    assert!(problem["message"].as_str().is_some_and(|text| text.contains("no table `pulpo_outbox`")), "{checked}");
    shop(&place);
    assert_eq!(to_end(&place, &["check"]).code, 0);
    let said = to_end(&place, &["outbox", "--sql", "mysql"]);
    assert!(said.code == 2 && said.err.contains("expected sqlite or postgres"), "{}", said.err);
}
