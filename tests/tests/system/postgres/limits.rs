//! Limits, while other transactions change the messages that a claim has found.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pulpo::queue::{
    DequeueFilter, Inspection as _, Limit, LimitKeys, LimitKind, LimitScope, NewMessage, QueueAdapter as _, Settlement,
    Unique,
};
use pulpo::{OnDuplicate, Publication, Rate, UniqueFor};
use pulpo_tests::postgres::PostgresServer;
use pulpo_tests::wait::until;

use super::{connect, message, schema_of};

/// The number of keys, each of which has one message at most.
const KEYS: u64 = 20;

const HOUR: Duration = Duration::from_secs(3600);

fn latest(number: u64) -> NewMessage {
    let key = Unique::new((number % KEYS).to_string()).unique_for(UniqueFor::Waiting);
    NewMessage::new("mail", "type", number.to_string()).unique(key.on_duplicate(OnDuplicate::Replace))
}

/// A message that is replaced between the look of a claim and its lock is left to the next claim,
/// and so is its start.
#[test]
fn a_start_is_counted_only_for_a_message_that_is_leased() {
    let server = PostgresServer::shared();
    let all = Limit::new(LimitScope::handler(["type"], false), LimitKind::Rate(Rate::new(1_000_000, HOUR)));
    for limit in [all.clone(), all.by_key()] {
        let (url, stop, published) = (server.fresh_url(), AtomicBool::new(false), AtomicU64::new(0));
        let queue = connect(&url);
        let filter = DequeueFilter::all().limits([limit.clone()]);
        let mut taken = 0;
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let queue = connect(&url);
                    while !stop.load(Ordering::SeqCst) {
                        let number = published.fetch_add(1, Ordering::SeqCst);
                        queue.enqueue(vec![latest(number)]).expect("enqueue");
                    }
                });
            }
            let mut consumer = queue.consumer(&["mail".to_owned()]).expect("a consumer");
            let end = Instant::now() + Duration::from_secs(2);
            // A busy machine may hold up the others.
            let at_most = end + Duration::from_secs(120);
            while Instant::now() < end || taken == 0 && Instant::now() < at_most {
                // More than one, so that the claim looks at several messages.
                let filter = filter.clone().more(7);
                let found = consumer.dequeue(&filter, Duration::from_millis(50)).expect("dequeue");
                let Some(found) = found else { continue };
                consumer.settle(&found.lease, &mut Settlement::commit()).expect("settled");
                taken += 1;
            }
            stop.store(true, Ordering::SeqCst);
            assert!(taken > 0, "no claim leased anything");
            // Gives back what was leased ahead.
            consumer.flush().expect("flushed");
        });
        // Nothing is left behind either.
        let mut consumer = queue.consumer(&["mail".to_owned()]).expect("a consumer");
        while let Some(found) = consumer.dequeue(&filter, Duration::ZERO).expect("dequeue") {
            consumer.settle(&found.lease, &mut Settlement::commit()).expect("settled");
            taken += 1;
        }
        consumer.flush().expect("flushed");
        let counted = server.psql(&format!("SELECT sum(count) FROM {}.started", schema_of(&url)));
        assert_eq!(counted, taken.to_string(), "{limit:?}, {published:?} publications");
        assert_eq!(queue.stats().expect("stats").total(), 0);
    }
}

/// Nothing is known of the sizes of the tables yet, so a plan that compares each message with each
/// batch would look cheap.
#[test]
fn thousands_of_batches_that_run_are_counted_in_a_moment() {
    const RUNS: u32 = 10_000;
    let server = PostgresServer::shared();
    let url = server.fresh_url();
    drop(connect(&url));
    let url = format!("{url}&statement_timeout=4s");
    let (schema, queue) = (schema_of(&url), connect(&url));
    let _ = server.psql(&format!("ALTER TABLE {schema}.message SET (autovacuum_enabled = off)"));
    let mut consumer = queue.consumer(&["mail".to_owned()]).expect("a consumer");
    let limited_to = |runs| {
        let limit = Limit::new(LimitScope::handler(["type"], false), LimitKind::Running(runs));
        DequeueFilter::all().limits([limit])
    };
    assert!(consumer.dequeue(&limited_to(RUNS + 1), Duration::ZERO).expect("planned").is_none());
    let _ = server.psql(&format!(
        "INSERT INTO {schema}.message(id, queue, request_type, state, priority, ttr, text, lease, lease_ends, run)
         OVERRIDING SYSTEM VALUE
         SELECT -number, 'mail', 'type', 2, 7, 60000, '{{}}', 'another-' || number, now() + interval '1 hour',
            CASE WHEN number % 2 = 0 THEN 1 - number END
         FROM generate_series(1, {RUNS} * 2) AS number"
    ));
    queue.enqueue(vec![message("one")]).expect("enqueue");
    assert!(consumer.dequeue(&limited_to(RUNS), Duration::ZERO).expect("counted").is_none());
    assert!(consumer.dequeue(&limited_to(RUNS + 1), Duration::ZERO).expect("counted").is_some());
}

/// The statistics of the table are still those of an empty one, as after any sudden backlog.
#[test]
fn a_claim_does_not_walk_over_the_messages_that_wait() {
    const WAITING: i64 = 20_000;
    const CLAIMS: i64 = 20;
    let server = PostgresServer::start();
    let limited_to = |kind| Limit::new(LimitScope::handler(["type"], false), kind);
    let rate = || limited_to(LimitKind::Rate(Rate::new(1_000_000, HOUR)));
    for (filter, is_paused) in [
        (DequeueFilter::all().limits([rate()]), false),
        (DequeueFilter::all().limits([rate()]), true),
        (DequeueFilter::all().limits([rate().by_key()]), false),
        (DequeueFilter::all().limits([limited_to(LimitKind::Running(1000))]).except_type("other"), false),
        (DequeueFilter::all().request_type("type"), false),
        (DequeueFilter::all().except_type("other"), false),
    ] {
        let url = server.fresh_url();
        let (schema, queue) = (schema_of(&url), connect(&url));
        let _ = server.psql(&format!(
            "ALTER TABLE {schema}.message SET (autovacuum_enabled = off);
             INSERT INTO {schema}.message(queue, request_type, state, priority, ttr, text, limit_key)
             SELECT 'mail', 'type', 0, 7, 60000, number, CASE WHEN number % 2 = 0 THEN E'key\\nkey' END
             FROM generate_series(1, {WAITING}) AS number"
        ));
        if is_paused {
            queue.pause("mail", HOUR).expect("paused");
        }
        let mut consumer = queue.consumer(&["mail".to_owned()]).expect("a consumer");
        for number in 1..=CLAIMS {
            let found = consumer.dequeue(&filter, Duration::ZERO).expect("dequeue");
            assert_eq!(found.is_none(), is_paused);
            let Some(found) = found else { continue };
            assert_eq!(found.text, number.to_string().as_bytes());
            consumer.settle(&found.lease, &mut Settlement::commit()).expect("settled");
        }
        drop(consumer);
        drop(queue);
        // A session reports what it has read at its end.
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pulpo'";
        until("the sessions have ended", || server.psql(sessions) == "0");
        let read = server.psql(&format!(
            "SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_user_indexes WHERE schemaname = '{schema}'
             AND indexrelname LIKE 'message_ready%'"
        ));
        let read: i64 = read.parse().expect("a number");
        // About once a minute, all are counted for the numbers over time.
        let most = CLAIMS * WAITING / 2;
        assert!(read < most, "{filter:?}, paused: {is_paused}: it has walked over {read} entries of the indexes");
        assert!(read > 0 || is_paused, "{filter:?}: the session has not reported what it has read");
    }
}

/// As if the server's clock had been ahead by this much when they were written, and was corrected.
fn set_clock_back(server: &PostgresServer, schema: &str, time: &str) {
    let sql = |table: &str, end: &str| {
        format!("UPDATE {schema}.{table} SET began = began + interval '{time}', {end} = {end} + interval '{time}'")
    };
    let _ = server.psql(&sql("held_back", "until"));
    let _ = server.psql(&sql("timed_key", "ends"));
}

#[test]
fn a_clock_of_the_server_that_goes_back_ends_what_is_held_back() {
    let server = PostgresServer::shared();
    for limits in [Vec::new(), vec![Limit::new(LimitScope::handler(["type"], false), LimitKind::Running(5))]] {
        let url = server.fresh_url();
        let (schema, queue) = (schema_of(&url), connect(&url));
        let mut consumer = queue.consumer(&["mail".to_owned()]).expect("a consumer");
        let filter = DequeueFilter::all().limits(limits);
        let mut is_held = || consumer.dequeue(&filter, Duration::ZERO).expect("dequeue").is_none();
        for key in [None, Some("key")] {
            queue.enqueue(vec![message("one").limit_keys(LimitKeys::of("key"))]).expect("enqueue");
            queue.hold_back("type", key, HOUR).expect("held back");
            set_clock_back(&server, &schema, "30 seconds");
            assert!(is_held(), "a little back changes little");
            set_clock_back(&server, &schema, "1 year");
            assert!(!is_held(), "{key:?} is held back for a year");
            queue.hold_back("type", key, HOUR).expect("held back again");
            queue.enqueue(vec![message("two").limit_keys(LimitKeys::of("key"))]).expect("enqueue");
            assert!(is_held());
            queue.hold_back("type", key, Duration::ZERO).expect("no longer");
            assert!(!is_held());
        }
    }
}

#[test]
fn a_clock_of_the_server_that_goes_back_frees_the_keys_that_are_taken_for_a_time() {
    let server = PostgresServer::shared();
    let url = server.fresh_url();
    let (schema, queue) = (schema_of(&url), connect(&url));
    let timed = || message("one").unique(Unique::new("key").unique_for(UniqueFor::Time(HOUR)));
    let publish = || queue.enqueue(vec![timed()]).expect("enqueue").remove(0);
    let first = publish();
    assert_eq!(first.publication, Publication::New);
    set_clock_back(&server, &schema, "30 seconds");
    assert_eq!(publish().publication, Publication::Kept);
    set_clock_back(&server, &schema, "1 year");
    let has_key = |id| queue.peek(id).expect("peek").expect("it waits").has_key;
    assert!(!has_key(&first.id));
    let second = publish();
    assert_eq!((second.publication, has_key(&second.id)), (Publication::New, true));
    assert_eq!(publish().publication, Publication::Kept);
    assert_eq!(queue.key_taken_by(&first.id).expect("asked"), Some(second.id));
}
