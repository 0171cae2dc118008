//! Transactions in PostgreSQL.

use pulpo::{Config, Pulpo};
use pulpo_tests::postgres::{Pooler, PostgresServer};
use pulpo_tests::program::Sandbox;
use pulpo_tests::wait;
use serde_json::json;

use super::{Invoice, pulpo, waiting_in};

/// Creates a separate database with an outbox table.
fn database(server: &PostgresServer, name: &str) -> (String, postgres::Client) {
    drop(server.psql(&format!("CREATE DATABASE {name}")));
    let url = format!("{}/{name}", server.url().rsplit_once('/').expect("a database").0);
    let mut client = connect(&url);
    pulpo::outbox::create(&mut client).expect("a table");
    (url, client)
}

fn connect(url: &str) -> postgres::Client {
    postgres::Client::connect(url, postgres::NoTls).expect("connected")
}

fn relay(place: &Sandbox, url: &str) -> String {
    let mut command = place.command(super::SERVICE, &["relay", "--once"]);
    let said = place.to_end(command.env("PULPO_OUTBOX", url));
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    said.out
}

/// The settings of a role or a database change how PostgreSQL reads and writes values.
#[test]
fn an_outbox_works_whatever_the_session_makes_of_dates_and_numbers() {
    let (place, server) = (Sandbox::new(), PostgresServer::shared());
    let (url, _) = database(&server, "odd_settings");
    for setting in [
        "datestyle = 'SQL, DMY'",
        "timezone = 'Asia/Kolkata'",
        "intervalstyle = 'sql_standard'",
        "extra_float_digits = -15",
        "standard_conforming_strings = off",
        "default_transaction_isolation = 'serializable'",
    ] {
        drop(server.psql(&format!("ALTER DATABASE odd_settings SET {setting}")));
    }
    let (mut client, pulpo) = (connect(&url), pulpo(&place));
    let mut transaction = client.transaction().expect("begun");
    pulpo.publish_in(&mut transaction, Invoice { order: 1 }).expect("published");
    transaction.commit().expect("committed");
    assert_eq!(relay(&place, &url), "moved 1 job\n");
    assert_eq!(relay(&place, &url), "moved 0 jobs\n", "it was deleted");
    assert_eq!(waiting_in(&pulpo), 1);
}

#[test]
fn the_check_fails_if_the_role_may_not_move_what_is_in_the_outbox() {
    let (place, server) = (Sandbox::new(), PostgresServer::shared());
    let (url, _) = database(&server, "few_rights");
    let admin = |sql: &str| connect(&url).batch_execute(sql).expect("done");
    admin("CREATE ROLE relay LOGIN");
    let theirs = url.replace("//postgres@", "//relay@");
    let check = |url: &str| {
        let mut command = place.command(super::SERVICE, &["check"]);
        let said = place.to_end(command.env("PULPO_OUTBOX", url));
        (said.code, said.out)
    };
    for right in ["SELECT", "UPDATE", "DELETE"] {
        let (code, out) = check(&theirs);
        assert!(code == 1 && out.contains("permission denied for table pulpo_outbox"), "before {right}: {out}");
        admin(&format!("GRANT {right} ON pulpo_outbox TO relay"));
    }
    assert_eq!(check(&theirs).0, 0);
    let (code, out) = check(&url.replace("//postgres@", "//nobody@"));
    assert!(code == 1 && out.contains("nobody"), "{out}");
    admin("DROP OWNED BY relay; DROP ROLE relay");
}

#[test]
fn a_transaction_that_commits_after_a_later_one_was_moved_loses_nothing() {
    let (place, server) = (Sandbox::new(), PostgresServer::shared());
    let (url, mut client) = database(&server, "late_commits");
    let mut other = connect(&url);
    let pulpo = pulpo(&place);
    let mut first = client.transaction().expect("begun");
    assert_eq!(
        pulpo.publish_in(&mut first, Invoice { order: 1 }).expect("published").id().expect("an id").as_str(),
        "outbox/1"
    );
    let mut second = other.transaction().expect("begun");
    assert_eq!(
        pulpo.publish_in(&mut second, Invoice { order: 2 }).expect("published").id().expect("an id").as_str(),
        "outbox/2"
    );
    second.commit().expect("committed");
    assert_eq!(relay(&place, &url), "moved 1 job\n");
    // A rollback leaves a gap in the numbers.
    let mut third = other.transaction().expect("begun");
    pulpo.publish_in(&mut third, Invoice { order: 3 }).expect("published");
    third.rollback().expect("rolled back");
    assert_eq!(relay(&place, &url), "moved 0 jobs\n");
    first.commit().expect("committed");
    assert_eq!(relay(&place, &url), "moved 1 job\n");
    assert_eq!(waiting_in(&pulpo), 2);
    // The async client.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (mut client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("connected");
        tokio::spawn(connection);
        pulpo::outbox::create_async(&mut client).await.expect("a table");
        for order in [4, 5] {
            let mut transaction = client.transaction().await.expect("begun");
            let sent =
                pulpo.publish_in_async::<Invoice, _>(&mut transaction, Invoice { order }).await.expect("published");
            assert!(sent.id().expect("an id").as_str().starts_with("outbox/"));
            if order == 4 { transaction.commit().await } else { transaction.rollback().await }.expect("ended");
        }
    });
    assert_eq!(relay(&place, &url), "moved 1 job\n");
    assert_eq!(waiting_in(&pulpo), 3);
}

#[test]
fn in_the_database_of_the_queue_the_transaction_is_the_publication() {
    let server = PostgresServer::shared();
    let url = server.fresh_url();
    let pulpo = Pulpo::new(Config::default().queue(&url).expect("a queue")).expect("opened");
    let mut client = connect(&server.url());
    for is_committed in [false, true] {
        let mut transaction = client.transaction().expect("begun");
        let sent = pulpo.publish_in(&mut transaction, Invoice { order: 1 }).expect("published");
        assert!(sent.id().expect("an id").as_str().parse::<u64>().is_ok(), "{sent:?}");
        assert_eq!(waiting_in(&pulpo), 0);
        if is_committed { transaction.commit() } else { transaction.rollback() }.expect("ended");
        assert_eq!(waiting_in(&pulpo), u64::from(is_committed));
    }
    let row = pulpo.prepare(Invoice { order: 2 }).expect("prepared");
    client.execute(row.sql(), &[&row.message()]).expect("published");
    let listed = pulpo.queue().list(&pulpo::queue::Filter::all()).expect("listed");
    let shown = listed.iter().map(|stored| {
        let message: serde_json::Value = serde_json::from_slice(&stored.text).expect("JSON");
        (stored.queue.as_str(), stored.priority.get(), message["body"].clone())
    });
    let expected = [2, 1].map(|order| ("invoices", 5, json!({ "order": order })));
    assert_eq!(shown.collect::<Vec<_>>(), expected);
}

#[test]
fn in_another_database_than_the_queue_it_is_a_row_of_the_outbox() {
    let (place, server) = (Sandbox::new(), PostgresServer::shared());
    let queue = server.fresh_url();
    let (url, mut client) = database(&server, "another_database");
    let mut config = Config::default().queue(&queue).expect("a queue");
    config.worker.outbox = vec![url.parse().expect("a URL")];
    let pulpo = Pulpo::new(config).expect("opened");
    let sent = pulpo.publish_in(&mut client, Invoice { order: 1 }).expect("published");
    assert_eq!(sent.id().expect("an id").as_str(), "outbox/1");
    let mut command = place.command(super::SERVICE, &["relay", "--once"]);
    for moved in ["moved 1 job\n", "moved 0 jobs\n"] {
        let said = place.to_end(command.env("PULPO_OUTBOX", &url).env("PULPO_QUEUE", &queue));
        assert_eq!((said.err.as_str(), said.out.as_str()), ("", moved));
    }
    assert_eq!(waiting_in(&pulpo), 1);
    let id = pulpo.resolve(sent.id().expect("an id")).expect("asked").expect("moved");
    assert_eq!(pulpo.queue().peek(&id).expect("asked").expect("there").queue, "invoices");
    // A transaction in the queue's own database publishes directly into the queue.
    let mut inside = connect(&server.url());
    let sent = pulpo.publish_in(&mut inside, Invoice { order: 2 }).expect("published");
    assert!(sent.id().expect("an id").as_str().parse::<u64>().is_ok());
    assert_eq!(waiting_in(&pulpo), 2);
}

#[test]
fn a_database_that_does_not_answer_holds_the_relay_up_for_a_limited_time() {
    let (place, server) = (Sandbox::new(), PostgresServer::start());
    let (url, mut client) = database(&server, "silent");
    let pulpo = pulpo(&place);
    let publish = |client: &mut postgres::Client, order| {
        pulpo.publish_in(client, Invoice { order }).expect("published");
    };
    publish(&mut client, 1);
    let mut command = place.command(super::SERVICE, &["relay", "--log-level", "info"]);
    command.env("PULPO_OUTBOX", &url);
    let relay = place.start_with_log(command, "relay.log");
    wait::until("the first is moved", || waiting_in(&pulpo) == 1);
    // A statement that waits for a lock: the server ends it.
    client.batch_execute("BEGIN; LOCK TABLE pulpo_outbox").expect("locked");
    let complaints = || place.log_named("relay.log").matches("cannot read the outbox").count();
    wait::until("the relay says so", || complaints() == 1);
    assert!(place.log_named("relay.log").contains("statement timeout"), "{}", place.log_named("relay.log"));
    client.batch_execute("COMMIT").expect("unlocked");
    publish(&mut client, 2);
    wait::until("the second is moved", || waiting_in(&pulpo) == 2);
    wait::until("all is well", || place.log_named("relay.log").contains("moving the outbox again"));
    // A server that stands still says nothing at all.
    server.signal_all("STOP");
    let silent = || place.log_named("relay.log").contains("has not answered for 10s");
    let said = wait::within(std::time::Duration::from_secs(120), silent);
    server.signal_all("CONT");
    assert!(said, "{}", place.log_named("relay.log"));
    publish(&mut client, 3);
    wait::until("the third is moved", || waiting_in(&pulpo) == 3);
    relay.signal("TERM");
    assert_eq!(relay.end(), 0);
}

/// Which gives each statement to another session, and keeps what those have prepared.
#[test]
fn relays_work_behind_a_pooler_of_transactions() {
    let (place, server) = (Sandbox::new(), PostgresServer::start());
    let pooler = Pooler::start(&server, 2);
    let mut client = connect(&server.url());
    pulpo::outbox::create(&mut client).expect("a table");
    let _ = server.psql("ALTER DATABASE postgres SET default_transaction_isolation = 'repeatable read'");
    let url = pooler.url("none");
    let url = url.split_once('?').expect("parameters").0;
    let pulpo = pulpo(&place);
    for order in 1..=3 {
        pulpo.publish_in(&mut client, Invoice { order }).expect("published");
        assert_eq!(relay(&place, url), "moved 1 job\n");
        assert_eq!(relay(&place, url), "moved 0 jobs\n");
    }
    assert_eq!(waiting_in(&pulpo), 3);
}
