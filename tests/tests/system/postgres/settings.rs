//! Sessions whose settings the role or the database has changed.

use std::time::Duration;

use pulpo::Rate;
use pulpo::queue::{
    DequeueFilter, Filter, Inspection as _, Limit, LimitKind, LimitScope, MessageState, QueueAdapter as _, Settlement,
};
use pulpo_tests::postgres::PostgresServer;

use super::{connect, schema_of};

/// Each changes how PostgreSQL reads or writes a value, or finds a name.
const ODD: [&str; 11] = [
    "datestyle = 'SQL, DMY'",
    "intervalstyle = 'sql_standard'",
    "extra_float_digits = -15",
    "bytea_output = 'escape'",
    "standard_conforming_strings = off",
    "array_nulls = off",
    "transform_null_equals = on",
    "quote_all_identifiers = on",
    "search_path = ''",
    "plpgsql.variable_conflict = 'use_variable'",
    "lc_messages = 'C'",
];

const SECOND: Duration = Duration::from_secs(1);

/// Returns a server whose sessions have all of these settings, in this time zone.
fn odd(zone: &str) -> PostgresServer {
    let server = PostgresServer::start();
    for setting in ODD.iter().map(|setting| (*setting).to_owned()).chain([format!("timezone = '{zone}'")]) {
        let _ = server.psql(&format!("ALTER ROLE postgres SET {setting}"));
    }
    server
}

/// PostgreSQL writes the zones of China and India as `CST` and `IST`, and reads these as zones of
/// America and Israel.
#[test]
fn a_rate_holds_whatever_the_session_makes_of_dates() {
    for zone in ["Asia/Shanghai", "Asia/Kolkata", "America/St_Johns"] {
        let server = odd(zone);
        for (of_key, notify) in [(false, true), (true, true), (false, false), (true, false)] {
            let url = format!("{}&notify={notify}", server.fresh_url());
            let schema = schema_of(&url);
            let queue = connect(&url);
            for _ in 0..5 {
                let _ = server.psql(&format!("SELECT {schema}.publish('type', '{{}}', '{{}}', 'mail')"));
            }
            let limit = Limit::new(LimitScope::handler(["type"], false), LimitKind::Rate(Rate::new(2, 60 * SECOND)));
            let limit = if of_key { limit.by_key() } else { limit };
            let filter = DequeueFilter::all().limits([limit]);
            let mut consumer = queue.consumer(&["mail".to_owned()]).expect("a consumer");
            let mut take = || consumer.dequeue(&filter, Duration::ZERO).expect("dequeue");
            let (first, second) = (take().expect("the first"), take().expect("the second"));
            assert!(take().is_none(), "{zone}: a third one started, by key: {of_key}, notify: {notify}");
            // Only a start that does not count is given back.
            let mut left = Settlement::leave_to_others(Duration::ZERO, "not mine");
            consumer.settle(&second.lease, &mut left).expect("settled");
            let mut take = || consumer.dequeue(&filter, Duration::ZERO).expect("dequeue");
            let again = take().expect("the start that was given back");
            assert!(take().is_none(), "{zone}: one more than was given back, by key: {of_key}");
            for lease in [first.lease, again.lease] {
                consumer.settle(&lease, &mut Settlement::commit()).expect("settled");
            }
            let listed = queue.list(&Filter::all()).expect("list");
            assert_eq!(listed.len(), 3);
            let age = |message: &pulpo::queue::StoredMessage| {
                (chrono::Utc::now() - message.enqueued_at.expect("a time")).num_seconds().abs()
            };
            assert!(listed.iter().all(|message| age(message) < 120), "{listed:?}");
        }
    }
}

#[test]
fn a_wait_for_a_rate_ends_whatever_the_session_makes_of_numbers() {
    let server = odd("Asia/Kolkata");
    let url = server.fresh_url();
    let queue = connect(&url);
    let schema = schema_of(&url);
    for _ in 0..3 {
        let _ = server.psql(&format!("SELECT {schema}.publish('type', '{{}}', '{{}}', 'mail')"));
    }
    let limit = Limit::new(LimitScope::handler(["type"], false), LimitKind::Rate(Rate::new(1, 2 * SECOND)));
    let filter = DequeueFilter::all().limits([limit]);
    let mut consumer = queue.consumer(&["mail".to_owned()]).expect("a consumer");
    for _ in 0..3 {
        let taken = consumer.dequeue(&filter, 60 * SECOND).expect("dequeue").expect("it starts when the rate lets it");
        consumer.settle(&taken.lease, &mut Settlement::commit()).expect("settled");
    }
}

#[test]
fn a_publication_in_sql_means_the_same_whatever_the_session_makes_of_texts() {
    let server = odd("Asia/Kolkata");
    let url = server.fresh_url();
    let queue = connect(&url);
    let schema = schema_of(&url);
    let header = r#"{"unique_key": "a", "unique_for": "1h 30m", "delay": "2100-01-02T03:04:05.5Z", "priority": 7}"#;
    let id = server.psql(&format!("SELECT {schema}.publish('type', '{{\"text\": \"a\\\\nb\"}}', '{header}', 'mail')"));
    let stored = queue.peek(&id.as_str().into()).expect("peek").expect("it is there");
    assert_eq!((stored.state, stored.priority.get()), (MessageState::Delayed, 7));
    let wire: serde_json::Value = serde_json::from_slice(&stored.text).expect("the wire form");
    assert_eq!(wire["header"]["delay"], "2100-01-02T03:04:05.500000Z");
    let until = stored.until.expect("a time");
    assert_eq!(until.to_rfc3339(), "2100-01-02T03:04:05.500+00:00");
    let held = server.psql(&format!("SELECT round(extract(epoch FROM ends - now()) / 60) FROM {schema}.timed_key"));
    assert_eq!(held, "90");
    // The same key again.
    assert_eq!(server.psql(&format!("SELECT {schema}.publish('type', '{{}}', '{header}', 'mail')")), id);
}

/// Behind a pooler, a session has the settings of the server, where compiling a claim takes longer than the claim.
#[test]
fn a_claim_with_limits_is_never_compiled() {
    let server = PostgresServer::shared();
    let url = server.fresh_url();
    let schema = schema_of(&url);
    drop(connect(&url));
    let (said, notices) = std::sync::mpsc::channel();
    let mut config: postgres::Config = server.url().parse().expect("a URL");
    config.notice_callback(move |notice| drop(said.send(notice.message().to_owned())));
    let mut client = config.connect(postgres::NoTls).expect("connected");
    let compiles = || notices.try_iter().filter(|notice| notice.contains("time to inline")).count();
    // The server says when it compiles a statement. A call of a function is cheap, what it does is not.
    let settings = "SET client_min_messages = debug1; SET jit_above_cost = 100; SET jit = on";
    client.batch_execute(settings).expect("set");
    client.batch_execute("SELECT sum(number) FROM generate_series(1, 100000) AS number").expect("counted");
    let (was_compiled, can_compile) = (compiles() > 0, server.psql("SELECT pg_jit_available()") == "t");
    assert_eq!(was_compiled, can_compile);
    for by_key in [false, true] {
        let limit = format!(
            r#"[{{"scopes": ["handler type"], "queue": null, "types": ["type"], "most": 100, "period": 1000000,
                "by_key": {by_key}, "batches": false}}]"#
        );
        let _ = server.psql(&format!("SELECT {schema}.publish('type', '{{}}', '{{}}', 'mail')"));
        let claim = format!(
            "SELECT * FROM {schema}.claim_limited(
                '{{mail}}', NULL, '{{}}', '{{}}', '{{}}', '{{}}', 1, 0, 'token', '{limit}', NULL)"
        );
        let rows = client.query(&claim, &[]).expect("claimed");
        assert_eq!((rows.len(), compiles()), (2, 0), "a message, and the last row; by key: {by_key}");
    }
}
