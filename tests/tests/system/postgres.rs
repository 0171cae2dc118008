//! The queue in PostgreSQL: its commands and messages, each test on its own server.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pulpo::clock::SystemClock;
use pulpo::queue::postgres::{Migrate, PostgresOptions, PostgresQueue, migrate};
use pulpo::queue::{
    ActivityFilter, ActivityStep, DequeueFilter, Filter, Inspection as _, MessageState, NewMessage, QueueAdapter as _,
    QueueError, Settlement,
};
use pulpo_tests::postgres::{Pooler, PostgresServer};
use pulpo_tests::program::{CommandOutput, Sandbox};
use pulpo_tests::{ids, wait};

mod in_turn;
mod limits;
mod settings;

const WORKER: &str = env!("CARGO_BIN_EXE_worker");
const LONG_LEASE_WORKER: &str = env!("CARGO_BIN_EXE_long_lease_worker");

fn options(url: &str) -> PostgresOptions {
    url.parse().expect("a URL")
}

fn connect(url: &str) -> PostgresQueue {
    PostgresQueue::connect(options(url), Arc::new(SystemClock::new())).expect("a database")
}

fn message(text: &str) -> NewMessage {
    NewMessage::new("mail", "type", text)
}

/// Returns a command of a program on the queue of this URL.
fn command(place: &Sandbox, program: &str, arguments: &[&str], url: &str) -> Command {
    let mut command = place.command(program, arguments);
    command.env("PULPO_QUEUE", url).env("RECORD", place.path("record"));
    command
}

/// Returns the schema that a URL names.
fn schema_of(url: &str) -> String {
    url.split_once("schema=")
        .map(|(_, schema)| schema.split('&').next().unwrap_or_default().to_owned())
        .expect("a schema")
}

#[test]
fn a_client_of_any_language_publishes_in_its_own_transaction() {
    let server = PostgresServer::shared();
    let url = server.fresh_url();
    let schema = schema_of(&url);
    let queue = connect(&url);
    assert_eq!(server.psql(&format!("SELECT {schema}.publish('record', '{{\"number\": 1}}')")), "1");
    // A transaction that is rolled back has published nothing.
    let _ = server.psql(&format!("BEGIN; SELECT {schema}.publish('record', '{{\"number\": 2}}'); ROLLBACK"));
    let header = r#"{"priority": -3, "delay": "2100-01-01T01:00:00+01:00", "trace": "abc"}"#;
    let _ = server
        .psql(&format!("SELECT {schema}.publish('record', '[1, 2]', '{header}', queue => 'side', notify => false)"));
    let all = queue.list(&Filter::all()).expect("list");
    assert_eq!(all.len(), 2);
    let (last, first) = (&all[0], &all[1]);
    assert_eq!(
        (first.queue.as_str(), first.request_type.as_str(), first.state),
        ("pulpo", "record", MessageState::Ready)
    );
    assert_eq!((last.queue.as_str(), last.priority.get(), last.state), ("side", 0, MessageState::Delayed));
    assert_eq!(last.until.map(|until| until.to_rfc3339()).as_deref(), Some("2100-01-01T00:00:00+00:00"));
    let wire: serde_json::Value = serde_json::from_slice(&last.text).expect("the wire form");
    assert_eq!(wire["header"]["trace"], "abc");
    assert_eq!(wire["body"], serde_json::json!({"payload": [1, 2]}));
    for (wrong, expected) in [
        ("publish('')", "expected a request type"),
        ("publish('x', '{}', '[]')", "expected a JSON object as header"),
        ("publish('x', '{}', '{}', queue => '')", "expected the name of a queue, got an empty string"),
        (r#"publish('x', '{}', '{"unique_key": ""}')"#, "expected a key, got an empty string"),
        ("publish('x', '{}', '{}', queue => E'a\\nb')", "without line feeds"),
        (r#"publish('x', '{}', '{"delay": "infinity"}')"#, "expected a time such as"),
        (r#"publish('x', '{}', '{"delay": "290000-01-01"}')"#, "expected a time such as"),
        (r#"publish('x', '{}', '{"delay": 60}')"#, "expected a time such as"),
    ] {
        let error = server.try_psql(&format!("SELECT {schema}.{wrong}")).expect_err(wrong);
        assert!(error.contains(expected), "{wrong}: {error}");
    }
}

/// The forms of `docs/messages.md`, as far as the database reads them.
#[test]
fn a_delay_in_sql_may_have_the_forms_of_other_languages() {
    let server = PostgresServer::shared();
    let url = server.fresh_url();
    let (schema, queue) = (schema_of(&url), connect(&url));
    let wire = |id: &str| {
        let stored = queue.peek(&id.into()).expect("peek").expect("it is there");
        let wire: serde_json::Value = serde_json::from_slice(&stored.text).expect("the wire form");
        (stored.state, wire["header"]["delay"].as_str().unwrap_or_default().to_owned())
    };
    for delay in ["4102444800", "\"4102444800\"", "4102444800000", "4102444800000000", "4102444800000000000"] {
        let id = server.psql(&format!("SELECT {schema}.publish('record', '{{}}', '{{\"delay\": {delay}}}')"));
        assert_eq!(wire(&id), (MessageState::Delayed, "2100-01-01T00:00:00.000000Z".to_owned()), "{delay}");
    }
    for delay in ["\"2001-09-09\"", "\"4713-01-01 BC\"", "\" \"", "null"] {
        let id = server.psql(&format!("SELECT {schema}.publish('record', '{{}}', '{{\"delay\": {delay}}}')"));
        assert_eq!(wire(&id).0, MessageState::Ready, "{delay}");
    }
}

/// No function of ours writes such a time, but the database can represent it.
#[test]
fn a_message_that_is_never_due_stops_no_worker() {
    let server = PostgresServer::shared();
    let url = server.fresh_url();
    let (schema, queue) = (schema_of(&url), connect(&url));
    queue.enqueue(vec![message("never"), message("now")]).expect("enqueue");
    let _ = server.psql(&format!("UPDATE {schema}.message SET state = 1, due = 'infinity' WHERE text = 'never'"));
    let mut consumer = queue.consumer(&["mail".to_owned()]).expect("a consumer");
    let taken = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("the other");
    consumer.settle(&taken.lease, &mut Settlement::commit()).expect("settled");
    assert!(consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").is_none());
}

#[test]
fn a_caller_who_names_no_queue_hits_that_of_the_worker() {
    let server = PostgresServer::shared();
    let (url, place) = (server.fresh_url(), Sandbox::new());
    let schema = schema_of(&url);
    let worker = place.start(command(&place, WORKER, &["work"], &url));
    let routes = || server.try_psql(&format!("SELECT queue, priority FROM {schema}.route WHERE request_type = 'say'"));
    wait::until("the worker has said where its jobs go", || routes() == Ok("side|7".to_owned()));
    // The worker is notified at once, and runs it.
    let _ = server.psql(&format!("SELECT {schema}.publish('say', '\"hello\"')"));
    wait::until("the job has run", || place.record().contains("hello"));
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

#[test]
fn jobs_of_a_killed_worker_come_back_in_seconds() {
    let server = PostgresServer::start();
    let pooler = Pooler::start(&server, 5);
    for url in [server.fresh_url(), pooler.url("pooled")] {
        let place = Sandbox::new();
        let queue = connect(&url);
        let text = r#"{"header": {"request_type": "hang"}, "body": {"payload": 600000}}"#;
        let mut hang = NewMessage::new("pulpo", "hang", text);
        hang.ttr = Duration::from_secs(3600);
        queue.enqueue(vec![hang]).expect("enqueue");
        let mut worker = place.start(command(&place, LONG_LEASE_WORKER, &["work"], &url));
        wait::until("the job runs", || place.record().contains("asleep"));
        let mut watcher = queue.consumer(&["elsewhere".to_owned()]).expect("a consumer");
        worker.signal("KILL");
        wait::until("it is dead", || worker.has_ended());
        let began = Instant::now();
        let back =
            || queue.list(&Filter::all()).expect("list").pop().is_some_and(|one| one.state == MessageState::Ready);
        assert!(wait::within(Duration::from_secs(120), back), "at {url}");
        let message = queue.list(&Filter::all()).expect("list").pop().expect("a message");
        assert_eq!((message.attempts, message.abandoned), (1, 1), "after {:?}", began.elapsed());
        assert!(watcher.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").is_none());
    }
}

#[test]
fn a_worker_works_behind_a_pooler_of_transactions() {
    let server = PostgresServer::shared();
    let pooler = Pooler::start(&server, 2);
    let (url, place) = (pooler.url("behind_a_pooler"), Sandbox::new());
    let workers: Vec<_> = (0..2).map(|_| place.start(command(&place, WORKER, &["work"], &url))).collect();
    let queue = connect(&url);
    let texts = (0..300).map(|n| NewMessage::new("pulpo", "record", record(n)));
    queue.enqueue(texts.collect()).expect("enqueue");
    wait::until("all have run", || place.record().lines().count() == 300);
    wait::until("all are gone", || queue.list(&Filter::all()).is_ok_and(|all| all.is_empty()));
    workers.iter().for_each(|worker| worker.signal("TERM"));
    workers.into_iter().for_each(|worker| assert_eq!(worker.end(), 0));
    // Each has removed its row: this process takes no messages and has none.
    let left = server.psql("SELECT count(*) FROM behind_a_pooler.worker");
    assert_eq!(left, "0", "{}", server.psql("SELECT * FROM behind_a_pooler.worker"));
}

fn record(number: u64) -> String {
    serde_json::json!({"header": {"request_type": "record"}, "body": {"number": number}}).to_string()
}

#[test]
fn a_pooler_is_recognised_and_named() {
    let server = PostgresServer::shared();
    let pooler = Pooler::start(&server, 1);
    let url = pooler.url("named").replace("&notify=false", "");
    let error = PostgresQueue::connect(options(&url), Arc::new(SystemClock::new())).expect_err("refused");
    let text = pulpo_text(&error);
    assert!(text.contains("set `notify = false`"), "{text}");
}

fn pulpo_text(error: &QueueError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

#[test]
fn a_server_that_is_not_there_is_named_without_its_password() {
    let port = pulpo_tests::beanstalkd::free_port();
    let url = format!("postgres://shop:hush@127.0.0.1:{port}/shop");
    let error = PostgresQueue::connect(options(&url), Arc::new(SystemClock::new())).expect_err("no server is there");
    let text = pulpo_text(&error);
    assert!(
        error.is_transient() && text.contains(&format!("PostgreSQL at 127.0.0.1:{port}/shop, schema pulpo")),
        "{text}"
    );
    let place = Sandbox::new();
    let said = place.to_end(&mut command(&place, WORKER, &["list"], &url));
    assert_eq!(said.code, 1);
    for text in [&text, &said.err, &said.out, &format!("{error:?}")] {
        assert!(!text.contains("hush"), "{text}");
    }
    let shown = place.to_end(&mut command(&place, WORKER, &["config"], &url));
    assert!(shown.code == 0 && !shown.out.contains("hush"), "{}", shown.out);
}

#[test]
fn a_statement_that_waits_for_a_lock_ends_in_time_and_harms_nothing() {
    let server = PostgresServer::shared();
    let url = server.fresh_url();
    let schema = schema_of(&url);
    let queue = connect(&url);
    queue.enqueue(vec![message("before")]).expect("enqueue");
    let lock = format!("BEGIN; LOCK TABLE {schema}.message; SELECT pg_sleep(600); COMMIT");
    std::thread::scope(|scope| {
        let locking = scope.spawn(|| server.try_psql(&lock));
        let of_schema = format!("FROM pg_locks WHERE relation = '{schema}.message'::regclass AND granted");
        let locked = format!("SELECT count(*) {of_schema} AND mode = 'AccessExclusiveLock'");
        wait::until("the table is locked", || server.psql(&locked) != "0");
        let hurried = options(&format!("{url}&statement_timeout=300ms"));
        let hurried = PostgresQueue::connect(hurried, Arc::new(SystemClock::new()));
        let began = Instant::now();
        let error = hurried.and_then(|queue| queue.enqueue(vec![message("during")])).expect_err("it is locked");
        assert!(began.elapsed() < Duration::from_secs(60), "after {:?}", began.elapsed());
        assert!(error.is_transient(), "the server has said that it did nothing: {error:?}");
        let _ = server.psql(&format!("SELECT pg_terminate_backend(pid) {of_schema} AND mode = 'AccessExclusiveLock'"));
        let _ = locking.join();
    });
    queue.enqueue(vec![message("after")]).expect("enqueue");
    let texts: Vec<_> = queue.list(&Filter::all()).expect("list").into_iter().map(|one| one.text).collect();
    assert_eq!(texts, [b"after".to_vec(), b"before".to_vec()]);
}

#[test]
fn a_server_that_was_killed_loses_nothing_and_is_used_again() {
    let mut server = PostgresServer::start();
    let url = server.url();
    let queue = connect(&url);
    let kept = ids(queue.enqueue(vec![message("kept"), message("too")]).expect("enqueue"));
    let mut consumer = queue.consumer(&["mail".to_owned()]).expect("a consumer");
    for _ in 0..3 {
        server.kill();
        let error = queue.enqueue(vec![message("nowhere")]).expect_err("it is down");
        assert!(matches!(error, QueueError::Unavailable { .. } | QueueError::UnknownOutcome { .. }), "{error:?}");
        server.restart();
        wait::until("it is used again", || {
            consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).is_ok_and(|taken| {
                let Some(taken) = taken else { return false };
                consumer.settle(&taken.lease, &mut Settlement::rollback(Duration::ZERO, "again", false)).is_ok()
            })
        });
    }
    let mut there: Vec<_> = queue.list(&Filter::all()).expect("list").into_iter().map(|one| one.id).collect();
    there.sort();
    assert_eq!(there, kept);
}

#[test]
fn tables_are_made_only_where_they_may_be() {
    let server = PostgresServer::shared();
    let url = server.fresh_url();
    let never = options(&url).migrate(Migrate::Never);
    let clock = || Arc::new(SystemClock::new());
    let error = PostgresQueue::connect(never.clone(), clock()).expect_err("there are no tables");
    assert!(pulpo_text(&error).contains("run the command `migrate`"), "{error:?}");
    let error = PostgresQueue::connect_existing(options(&url), clock()).expect_err("there is no queue");
    assert!(matches!(error, QueueError::NoQueue { .. }), "{error:?}");
    let place = Sandbox::new();
    let printed = place.to_end(&mut command(&place, WORKER, &["migrate", "--print"], &url));
    assert!(printed.out.contains("CREATE TABLE") && printed.out.contains(&schema_of(&url)), "{printed:?}");
    for expected in ["made version 1 of the tables", "nothing to do"] {
        let said = place.to_end(&mut command(&place, WORKER, &["migrate"], &url));
        assert!(said.code == 0 && said.out.contains(expected), "{said:?}");
    }
    PostgresQueue::connect(never, clock()).expect("now there are");
    // The printed SQL creates the same tables.
    let other = server.fresh_url();
    let printed = place.to_end(&mut command(&place, WORKER, &["migrate", "--print"], &other));
    let _ = server.psql(&printed.out);
    assert_eq!(migrate(&options(&other)).expect("nothing to do"), [0; 0]);
}

#[test]
fn processes_that_start_together_make_the_tables_once() {
    let server = PostgresServer::shared();
    let url = server.fresh_url();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| connect(&url).enqueue(vec![message("x")]).expect("enqueue"));
        }
    });
    assert_eq!(connect(&url).list(&Filter::all()).expect("list").len(), 6);
    assert_eq!(server.psql(&format!("SELECT count(*) FROM {}.migration", schema_of(&url))), "1");
}

#[test]
fn an_old_program_goes_on_with_tables_that_only_grew_and_stops_at_others() {
    let server = PostgresServer::shared();
    let url = server.fresh_url();
    let schema = schema_of(&url);
    let queue = connect(&url);
    let grow = "ALTER TABLE SCHEMA.message ADD COLUMN later text; INSERT INTO SCHEMA.migration VALUES (7, 1)";
    let _ = server.psql(&grow.replace("SCHEMA", &schema));
    queue.enqueue(vec![message("old")]).expect("a program that was there before");
    let mut consumer = connect(&url).consumer(&["mail".to_owned()]).expect("one that came later");
    assert!(consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").is_some());
    let _ = server.psql(&format!("INSERT INTO {schema}.migration VALUES (8, 8)"));
    let error = PostgresQueue::connect(options(&url), Arc::new(SystemClock::new())).expect_err("too new");
    assert!(matches!(error, QueueError::NewerVersion { found: 8, known: 1, .. }), "{error:?}");
    wait::until("a consumer hears of it", || {
        let taken = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO);
        matches!(taken, Err(QueueError::NewerVersion { .. }))
    });
}

#[test]
fn tables_of_others_are_left_alone() {
    let server = PostgresServer::shared();
    let url = server.fresh_url();
    let schema = schema_of(&url);
    let _ = server.psql(&format!("CREATE SCHEMA {schema}; CREATE TABLE {schema}.message(subject text)"));
    let error = PostgresQueue::connect(options(&url), Arc::new(SystemClock::new())).expect_err("not ours");
    assert!(matches!(error, QueueError::NotAQueue { .. }), "{error:?}");
}

#[test]
fn a_message_that_postgresql_cannot_keep_is_refused_alone() {
    let server = PostgresServer::shared();
    let queue = connect(&server.fresh_url());
    let error = queue.enqueue(vec![message("fine"), message("a\0b")]).expect_err("NUL");
    assert!(matches!(error, QueueError::Rejected { .. }), "{error:?}");
    let error = queue.enqueue(vec![NewMessage::new("a\nb", "type", "x")]).expect_err("a name");
    assert!(matches!(error, QueueError::BadQueueName { .. }), "{error:?}");
    assert!(queue.list(&Filter::all()).expect("list").is_empty(), "a batch is kept whole or not at all");
    queue.enqueue(vec![NewMessage::new("mail", "t\0ype", "x")]).expect("a type is only a word here");
    // A reason may contain anything.
    let mut consumer = queue.consumer(&["mail".to_owned()]).expect("a consumer");
    let taken = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("a message");
    consumer.settle(&taken.lease, &mut Settlement::bury("a\0b 世界", true)).expect("buried");
    let buried = queue.list(&Filter::all()).expect("list").pop().expect("it is there");
    assert_eq!(buried.last_error.as_deref(), Some("a\u{FFFD}b 世界"));
}

#[test]
fn a_batch_larger_than_one_statement_is_kept_whole() {
    let server = PostgresServer::shared();
    let queue = connect(&server.fresh_url());
    let many: Vec<_> = (0..20_001).map(|n| message(&n.to_string())).collect();
    assert_eq!(queue.enqueue(many).expect("enqueue").len(), 20_001);
    assert_eq!(queue.stats().expect("stats").total(), 20_001);
    // Also split by size.
    let large: Vec<_> = (0..3).map(|_| message(&"x".repeat(20 << 20))).collect();
    assert_eq!(queue.enqueue(large).expect("enqueue").len(), 3);
    assert_eq!(queue.delete(&Filter::all()).expect("delete"), 20_004);
}

#[test]
fn a_publication_from_within_an_async_program_does_not_panic() {
    let server = PostgresServer::shared();
    let queue = connect(&server.fresh_url());
    let runtime = tokio::runtime::Builder::new_multi_thread().build().expect("a runtime");
    runtime.block_on(async { queue.enqueue(vec![message("x")]).expect("enqueue") });
    assert_eq!(queue.list(&Filter::all()).expect("list").len(), 1);
}

/// Whatever its threads were doing at that moment.
#[test]
fn a_queue_that_is_closed_has_removed_its_process() {
    let server = PostgresServer::shared();
    let pooler = Pooler::start(&server, 2);
    for (schema, url) in [("closed_one", None), ("closed_behind_a_pooler", Some(pooler.url("closed_behind_a_pooler")))]
    {
        let url = url.unwrap_or_else(|| format!("{}?schema={schema}", server.url()));
        for _ in 0..20 {
            let queue = connect(&url);
            let mut consumer = queue.consumer(&["mail".to_owned()]).expect("a consumer");
            queue.enqueue(vec![message("x")]).expect("enqueue");
            let taken = consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(5)).expect("dequeue").expect("one");
            consumer.settle(&taken.lease, &mut Settlement::deferrable_commit()).expect("committed");
            consumer.flush().expect("flush");
            drop((consumer, queue));
            assert_eq!(server.psql(&format!("SELECT count(*) FROM {schema}.worker")), "0");
        }
    }
}

#[test]
fn jobs_published_by_sql_are_among_the_numbers_over_time() {
    let server = PostgresServer::shared();
    let url = server.fresh_url();
    let schema = schema_of(&url);
    let queue = connect(&url);
    let publish = |count, end| {
        let sql = "BEGIN; SELECT SCHEMA.publish('record', '{}') FROM generate_series(1, COUNT); END";
        let sql = sql.replace("SCHEMA", &schema).replace("COUNT", count).replace("END", end);
        drop(server.psql(&sql));
    };
    publish("3", "COMMIT");
    publish("50", "ROLLBACK");
    let unique = format!("SELECT {schema}.publish('other', '{{}}', '{{\"unique_key\": \"1:[7]\"}}', queue => 'mail')");
    let (first, kept) = (server.psql(&unique), server.psql(&unique));
    assert_eq!(first, kept);
    // It is added by a process that takes messages.
    let _consumer = queue.consumer(&["elsewhere".to_owned()]).expect("a consumer");
    let published = |filter: ActivityFilter| -> u64 {
        let log = queue.activity().expect("it keeps numbers");
        log.read_activity(&filter).expect("read").iter().map(|step| step.published).sum()
    };
    let since = chrono::Utc::now() - chrono::TimeDelta::minutes(5);
    let all = || ActivityFilter::since(ActivityStep::Minute, since);
    wait::until("all is counted", || published(all()) == 4);
    assert_eq!(published(all().queue("mail")), 1, "what was kept is not counted");
    assert_eq!(published(all().request_type("record")), 3);
    assert_eq!(server.psql(&format!("SELECT count(*) FROM {schema}.uncounted")), "0");
}

#[test]
fn a_transaction_that_stays_open_is_named_and_claims_go_on() {
    let server = PostgresServer::start();
    let url = server.fresh_url();
    let schema = schema_of(&url);
    let queue = connect(&url);
    let mut forgotten = postgres::Client::connect(&server.url(), postgres::NoTls).expect("connected");
    forgotten.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").expect("a snapshot");
    assert_eq!(queue.stats().expect("stats").warnings, [""; 0], "it has not been open for long");
    // Many have come and gone that it might still want to see.
    let gone = "INSERT INTO SCHEMA.message(queue, request_type, state, priority, ttr, text)
            SELECT 'mail', 'type', 0, 65536, 60000, '{}' FROM generate_series(1, 40000);
        UPDATE SCHEMA.message SET state = 2, lease = 'nobody'; DELETE FROM SCHEMA.message";
    drop(server.psql(&gone.replace("SCHEMA", &schema)));
    let many: Vec<_> = (0..600).map(|n| message(&n.to_string())).collect();
    queue.enqueue(many).expect("enqueue");
    let mut consumer = queue.consumer(&["mail".to_owned()]).expect("a consumer");
    let next = |consumer: &mut Box<dyn pulpo::queue::Consumer>| {
        let taken =
            consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(20)).expect("dequeue").expect("a message");
        consumer.settle(&taken.lease, &mut Settlement::commit()).expect("committed");
        String::from_utf8(taken.text).expect("text")
    };
    let walked = || -> i64 {
        let sql = format!(
            "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE schemaname = '{schema}'
            AND indexrelname = 'message_ready'"
        );
        server.psql(&sql).parse().expect("a number")
    };
    let (before, began) = (walked(), Instant::now());
    for n in 0..600 {
        assert_eq!(next(&mut consumer), n.to_string());
    }
    assert!(consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").is_none());
    let took = i64::try_from(began.elapsed().as_millis()).expect("not long");
    // 600 claims from the front walk over 24 million entries. They may take a twentieth of the time, and each one takes
    // longer than two milliseconds: there are few of them unless the machine holds up the others.
    wait::until("the server has counted", || walked() > before);
    let (walked, most) = (walked() - before, 8_000_000.max(took / 40 * 41_000));
    assert!(walked < most, "{walked} entries of the index, of {most} at most, in {took} ms");
    // An urgent job has its turn within a moment, though others wait all the time.
    let mut urgent = message("urgent");
    urgent.priority = pulpo::Priority::new(0);
    queue.enqueue(vec![message("first"), message("second")]).expect("enqueue");
    assert_eq!(next(&mut consumer), "first");
    queue.enqueue(vec![urgent]).expect("enqueue");
    wait::until("the urgent job has its turn", || {
        queue.enqueue(vec![message("another")]).expect("enqueue");
        next(&mut consumer) == "urgent"
    });
    drop(forgotten);
}

/// Commits and a claim share a round trip, and each is a transaction of its own.
#[test]
fn a_commit_that_fails_strands_no_message_that_was_leased_beside_it() {
    let server = PostgresServer::shared();
    for failure in ["refused", "blocked"] {
        let url = server.fresh_url();
        drop(connect(&url));
        let url = format!("{url}&statement_timeout=6s");
        let schema = schema_of(&url);
        let queue = connect(&url);
        queue.enqueue(Vec::from(["1", "2", "3"].map(message))).expect("enqueue");
        let mut consumer = queue.consumer(&["mail".to_owned()]).expect("a consumer");
        let first =
            consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(5)).expect("dequeue").expect("a message");
        let mut other = postgres::Client::connect(&server.url(), postgres::NoTls).expect("connected");
        let refuse = "CREATE FUNCTION SCHEMA.refuse() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
            CREATE TRIGGER refused BEFORE DELETE ON SCHEMA.message FOR EACH ROW WHEN (OLD.text = '1')
                EXECUTE FUNCTION SCHEMA.refuse()";
        let block = "BEGIN; SELECT FROM SCHEMA.message WHERE text = '1' FOR UPDATE";
        let how = if failure == "refused" { refuse } else { block };
        other.batch_execute(&how.replace("SCHEMA", &schema)).expect("done");
        consumer.settle(&first.lease, &mut Settlement::deferrable_commit()).expect("put off");
        let mut next = || consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(5));
        let second = loop {
            match next() {
                Ok(second) => break second.expect("a message"),
                Err(error) => assert!(error.is_transient(), "{failure}: {error}"),
            }
            // The lock is gone.
            other.batch_execute("COMMIT").expect("done");
        };
        assert_eq!(second.text, b"2", "{failure}");
        assert_eq!(next().expect("dequeue").expect("a message").text, b"3", "{failure}");
    }
}

/// The settings of a role or a database, which every session begins with.
#[test]
fn stricter_settings_of_the_database_change_nothing() {
    const JOBS: usize = 400;
    let server = PostgresServer::start();
    let url = server.fresh_url();
    drop(connect(&url));
    // The shortest time comes last: it is that of each later session as well.
    for setting in [
        "default_transaction_isolation = 'serializable'",
        "lock_timeout = '1s'",
        "idle_in_transaction_session_timeout = '1ms'",
        "timezone = 'Asia/Kolkata'",
        "datestyle = 'SQL, DMY'",
        "search_path = ''",
        "statement_timeout = '1ms'",
    ] {
        let _ = server.psql(&format!("ALTER DATABASE postgres SET {setting}"));
    }
    let (done, deadline) = (AtomicUsize::new(0), Instant::now() + Duration::from_secs(240));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let queue = connect(&url);
                (0..JOBS / 2).for_each(|_| drop(queue.enqueue(vec![message("x")]).expect("enqueue")));
            });
        }
        for _ in 0..3 {
            scope.spawn(|| {
                let queue = connect(&url);
                let mut consumer = queue.consumer(&["mail".to_owned()]).expect("a consumer");
                while done.load(Ordering::SeqCst) < JOBS {
                    assert!(Instant::now() < deadline, "{} are done", done.load(Ordering::SeqCst));
                    let taken = consumer.dequeue(&DequeueFilter::all(), Duration::from_millis(50)).expect("dequeue");
                    let Some(taken) = taken else { continue };
                    consumer.settle(&taken.lease, &mut Settlement::commit()).expect("settled");
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(connect(&url).stats().expect("stats").total(), 0);
    // Behind a pooler, the session is not ours to set.
    let reset = "SET statement_timeout = 0; ALTER DATABASE postgres RESET statement_timeout";
    // The first statement has a millisecond.
    wait::until("the timeout is reset", || server.try_psql(reset).is_ok());
    let pooler = Pooler::start(&server, 1);
    let error = PostgresQueue::connect(options(&pooler.url("strict")), Arc::new(SystemClock::new()));
    let text = pulpo_text(&error.expect_err("serializable"));
    assert!(text.contains("got serializable: set `default_transaction_isolation`"), "{text}");
}

#[test]
fn a_role_that_may_not_create_uses_tables_that_are_there() {
    let server = PostgresServer::start();
    let url = server.fresh_url();
    let schema = schema_of(&url);
    let _ = server.psql("CREATE ROLE app LOGIN; REVOKE CREATE ON DATABASE postgres FROM PUBLIC");
    let theirs = url.replace("//postgres@", "//app@");
    let open = |migrate| PostgresQueue::connect(options(&theirs).migrate(migrate), Arc::new(SystemClock::new()));
    let text = pulpo_text(&open(Migrate::Auto).expect_err("it may not create"));
    assert!(text.contains("CREATE on the database, or run the command `migrate`"), "{text}");
    let _ = migrate(&options(&url)).expect("made");
    let _ = server.psql(&format!(
        "GRANT USAGE ON SCHEMA {schema} TO app;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO app"
    ));
    let queue = open(Migrate::Never).expect("all there");
    let text = pulpo_text(&queue.stats().expect_err("one grant is missing"));
    assert!(text.contains("SELECT on the sequence"), "{text}");
    let _ = server.psql(&format!("GRANT SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO app"));
    queue.enqueue(vec![message("x"), message("y")]).expect("enqueue");
    let mut consumer = queue.consumer(&["mail".to_owned()]).expect("a consumer");
    let mut take = || consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("a message");
    let (first, second) = (take(), take());
    consumer.settle(&first.lease, &mut Settlement::commit()).expect("settled");
    consumer.settle(&second.lease, &mut Settlement::bury("fatal", true)).expect("settled");
    assert_eq!(queue.stats().expect("stats").total(), 1);
    queue.check_rights().expect("nothing is missing");
}

#[test]
fn a_worker_whose_role_lacks_rights_does_not_start_and_the_check_fails() {
    let server = PostgresServer::start();
    let url = server.fresh_url();
    let schema = schema_of(&url);
    let _ = migrate(&options(&url)).expect("made");
    let _ = server.psql(&format!(
        "CREATE ROLE \"my app\" LOGIN; GRANT USAGE ON SCHEMA {schema} TO \"my app\";
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO \"my app\";
         REVOKE UPDATE, DELETE ON {schema}.message FROM \"my app\"; REVOKE INSERT, UPDATE, DELETE ON {schema}.migration FROM \"my app\""
    ));
    let place = Sandbox::new();
    let theirs = url.replace("//postgres@", "//my%20app@");
    let run = |arguments: &[&str]| CommandOutput::of(command(&place, WORKER, arguments, &theirs));
    let grants = [
        format!("GRANT UPDATE, DELETE ON {schema}.message TO \"my app\";"),
        format!("GRANT SELECT ON SEQUENCE {schema}.message_id_seq TO \"my app\";"),
    ];
    for arguments in [&["work"][..], &["check", "--queue"]] {
        let said = run(arguments);
        assert!(said.code == 1 && said.err.contains(&grants.join(" ")), "{said:?}");
    }
    let _ = server.psql(&grants.join(""));
    let said = run(&["check", "--queue"]);
    assert_eq!(said.code, 0, "{said:?}");
    let said = run(&["work", "--set", "shutdown_after_number_of_empty_iterations=1"]);
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn a_server_that_only_reads_is_named_as_such() {
    let server = PostgresServer::start();
    let url = server.fresh_url();
    connect(&url).enqueue(vec![message("x")]).expect("enqueue");
    let _ = server.psql("ALTER DATABASE postgres SET default_transaction_read_only = on");
    let queue = connect(&url);
    assert_eq!(queue.stats().expect("it can be inspected").total(), 1);
    let error = queue.enqueue(vec![message("y")]).expect_err("read-only");
    assert!(matches!(error, QueueError::Unavailable { .. }), "{error:?}");
    let text = pulpo_text(&error);
    assert!(
        text.contains("target_session_attrs=read-write") && text.contains("default_transaction_read_only"),
        "{text}"
    );
}
