//! Unique keys in PostgreSQL: for clients in any language, in the user's transactions, and beside
//! slow transactions. And limits of batches, there and on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};
use pulpo::clock::SystemClock;
use pulpo::queue::QueueAdapter;
use pulpo::queue::file::FileQueue;
use pulpo::queue::postgres::PostgresQueue;
use pulpo::queue::{DequeueFilter, Filter, Inspection as _, MessageState, NewMessage, Settlement, Unique};
use pulpo::worker::{Stopper, WorkerOptions};
use pulpo::{Config, Message, OnDuplicate, Publication, PublishError, Pulpo, State, UniqueFor};
use pulpo_tests::postgres::PostgresServer;
use pulpo_tests::wait::{until, within};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Recount {
    account: u64,
}

#[pulpo::handler("recount", unique(account), unique_for = "waiting", on_duplicate = "replace", limit_by(account) = 1)]
fn recount(_: Recount) {}

#[derive(Serialize, Deserialize)]
struct Part {
    key: u64,
}

/// The runs of `collect` now, in all and by key, and the most that there were.
#[derive(Default)]
struct Runs {
    now: BTreeMap<Option<u64>, usize>,
    most: usize,
    most_of_a_key: usize,
    parts: usize,
}

static RUNS: Mutex<BTreeMap<String, Runs>> = Mutex::new(BTreeMap::new());

#[pulpo::handler("collect", batch = 100, limit = 2, limit_by(key) = 1)]
fn collect(parts: Vec<Part>, of: State<String>) {
    let keys: BTreeSet<_> = parts.iter().map(|part| Some(part.key)).chain([None]).collect();
    {
        let mut all = RUNS.lock().expect("a lock");
        let runs = all.entry((*of).clone()).or_default();
        for key in &keys {
            *runs.now.entry(*key).or_default() += 1;
        }
        let of_a_key = keys.iter().flatten().map(|key| runs.now[&Some(*key)]).max();
        runs.most_of_a_key = runs.most_of_a_key.max(of_a_key.unwrap_or_default());
        runs.most = runs.most.max(runs.now[&None]);
        runs.parts += parts.len();
    }
    // The others must get the chance to start.
    std::thread::sleep(Duration::from_millis(60));
    let mut all = RUNS.lock().expect("a lock");
    let runs = all.entry((*of).clone()).or_default();
    keys.iter().for_each(|key| *runs.now.entry(*key).or_default() -= 1);
}

/// Stops the worker, so that a test that fails does not wait for it.
struct StopAtEnd(Stopper);

impl Drop for StopAtEnd {
    fn drop(&mut self) {
        self.0.stop();
    }
}

struct Place {
    server: Arc<PostgresServer>,
    url: String,
    schema: String,
    queue: PostgresQueue,
}

impl Place {
    fn new() -> Self {
        let server = PostgresServer::shared();
        let url = server.fresh_url();
        let schema = url.rsplit_once('=').expect("a schema").1.to_owned();
        let queue = PostgresQueue::connect(url.parse().expect("a URL"), Arc::new(SystemClock::new())).expect("a queue");
        Self { server, url, schema, queue }
    }

    fn client(&self) -> Client {
        Client::connect(&self.server.url(), NoTls).expect("connected")
    }

    /// Publishes with SQL, as any client does.
    fn publish(&self, header: &str) -> Result<String, String> {
        self.server.try_psql(&format!("SELECT {}.publish('recount', '{{\"account\": 1}}', '{header}')", self.schema))
    }

    fn count(&self) -> usize {
        self.queue.list(&Filter::all()).expect("list").len()
    }
}

fn waiting(text: &str) -> NewMessage {
    NewMessage::new("pulpo", "recount", text).unique(Unique::new("a").unique_for(UniqueFor::Waiting))
}

#[test]
fn a_client_of_any_language_publishes_unique_jobs() {
    let place = Place::new();
    assert_eq!(place.publish(r#"{"unique_key": "a"}"#).as_deref(), Ok("1"));
    assert_eq!(place.publish(r#"{"unique_key": "a", "priority": 3}"#).as_deref(), Ok("1"));
    let error = place.publish(r#"{"unique_key": "a", "on_duplicate": "reject"}"#).expect_err("a duplicate");
    assert!(error.contains("message 1 has the same unique key"), "{error}");
    let waits =
        r#"{"unique_key": "b", "unique_for": "waiting", "on_duplicate": "replace", "delay": "2100-01-01T00:00:00Z"}"#;
    let id = place.publish(waits).expect("new");
    assert_eq!(place.publish(waits).as_deref(), Ok(id.as_str()));
    let timed = place.publish(r#"{"unique_key": "c", "unique_for": "1h 30m"}"#).expect("new");
    assert_eq!(place.publish(r#"{"unique_key": "c", "unique_for": "1h"}"#).as_deref(), Ok(timed.as_str()));
    // The times that programs in Rust accept.
    for (number, time) in
        ["1ns", "2 us", "0.5s", "1.5h 3m", "2wks", "1M", "1month", "136y", "200000 years"].iter().enumerate()
    {
        let header = format!(r#"{{"unique_key": "time {number}", "unique_for": "{time}"}}"#);
        place.publish(&header).unwrap_or_else(|error| panic!("{time}: {error}"));
    }
    let expected =
        "SELECT round(extract(epoch FROM ends - began))::bigint FROM {}.timed_key WHERE key LIKE '%time ' || {}";
    for (number, seconds) in [("3", "5580"), ("4", "1209600"), ("5", "2630016"), ("7", "4291833600")] {
        let query = expected.replacen("{}", &place.schema, 1).replacen("{}", number, 1);
        assert_eq!(place.server.try_psql(&query).as_deref(), Ok(seconds), "{number}");
    }
    // A number is a key, and null is not.
    let number = place.publish(r#"{"unique_key": 7}"#).expect("new");
    assert_eq!(place.publish(r#"{"unique_key": "7"}"#).as_deref(), Ok(number.as_str()));
    let none = place.publish(r#"{"unique_key": null}"#).expect("new");
    assert_ne!(place.publish(r#"{"unique_key": null}"#), Ok(none));
    for (wrong, expected) in [
        (r#"{"unique_key": ""}"#, "`unique_key`: expected a key"),
        (
            r#"{"unique_key": "x", "unique_for": "ever"}"#,
            "`unique_for`: expected \"unfinished\", \"waiting\" or a time",
        ),
        (r#"{"unique_key": "x", "unique_for": "0s"}"#, "`unique_for`: expected"),
        (r#"{"unique_key": "x", "unique_for": "1h 1fortnight"}"#, "`unique_for`: expected"),
        (r#"{"unique_key": "x", "unique_for": "1H"}"#, "`unique_for`: expected"),
        (
            r#"{"unique_key": "x", "on_duplicate": "drop"}"#,
            "`on_duplicate`: expected \"keep\", \"replace\" or \"reject\"",
        ),
        (r#"{"unique_key": "x", "on_duplicate": "replace"}"#, "`on_duplicate` can be \"replace\" only where"),
    ] {
        let error = place.publish(wrong).expect_err(wrong);
        assert!(error.contains(expected), "{wrong}: {error}");
    }
    assert_eq!(place.count(), 15);
}

#[test]
fn a_key_from_sql_is_the_key_of_a_program() {
    let place = Place::new();
    for key in ["a".to_owned(), "x".repeat(200), "x".repeat(201), "ä".repeat(101), "1:[1]".to_owned()] {
        let message = NewMessage::new("pulpo", "recount", "{}").unique(Unique::new(&*key));
        let enqueued = place.queue.enqueue(vec![message]).expect("enqueued");
        let id = place.publish(&format!(r#"{{"unique_key": "{key}"}}"#));
        assert_eq!(id.as_deref(), Ok(enqueued[0].id.as_str()), "{key}");
    }
    let pulpo = Pulpo::new(Config::default().queue(&place.url).expect("a queue")).expect("opened");
    // The program derives the same key from the body.
    let sent = pulpo.publish(
        Message::new(Recount { account: 1 }).unique_for(UniqueFor::Unfinished).on_duplicate(OnDuplicate::Keep),
    );
    assert_eq!(sent.expect("published").publication(), Publication::Kept);
}

#[test]
fn a_job_in_a_transaction_of_the_users_is_unique() {
    let place = Place::new();
    let pulpo = Pulpo::new(Config::default().queue(&place.url).expect("a queue")).expect("opened");
    let mut client = place.client();
    let mut first = client.transaction().expect("begun");
    let sent = pulpo.publish_in(&mut first, Recount { account: 1 }).expect("published");
    assert_eq!(sent.publication(), Publication::New);
    let again = pulpo.publish_in(&mut first, Recount { account: 1 }).expect("published");
    assert_eq!((again.id(), again.publication()), (sent.id(), Publication::Replaced));
    first.rollback().expect("rolled back");
    // A rolled-back message has no key.
    let mut second = client.transaction().expect("begun");
    let sent = pulpo.publish_in(&mut second, Recount { account: 1 }).expect("published");
    assert_eq!(sent.publication(), Publication::New);
    second.commit().expect("committed");
    let stored = place.queue.list(&Filter::all()).expect("list");
    let keys = (stored[0].unique.clone().map(|unique| unique.key), stored[0].limit_keys.running.clone());
    assert_eq!((stored.len(), keys), (1, (Some("1:[1]".to_owned()), Some("1:[1]".to_owned()))));
    let mut third = client.transaction().expect("begun");
    let rejected = Message::new(Recount { account: 1 }).on_duplicate(OnDuplicate::Reject);
    match pulpo.publish_in(&mut third, rejected) {
        Err(PublishError::Duplicate { id, .. }) => assert_eq!(Some(&id), sent.id()),
        other => panic!("expected a duplicate, got {other:?}"),
    }
    third.rollback().expect("rolled back");
    assert_eq!(place.count(), 1);
}

#[test]
fn a_job_that_is_kept_starts_after_the_transaction_that_kept_it() {
    let place = Place::new();
    let id = place.queue.enqueue(vec![waiting("first")]).expect("enqueued").remove(0).id;
    let mut client = place.client();
    let mut transaction = client.transaction().expect("begun");
    let publish = format!(
        r#"SELECT {}.publish('recount', '{{}}', '{{"unique_key": "a", "unique_for": "waiting"}}')"#,
        place.schema
    );
    let kept: i64 = transaction.query_one(&publish, &[]).expect("kept").get(0);
    assert_eq!(kept.to_string(), id.as_str());
    // Its run would not see the writes of the transaction.
    let mut consumer = place.queue.consumer(&["pulpo".to_owned()]).expect("a consumer");
    assert!(consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").is_none());
    transaction.commit().expect("committed");
    let delivery =
        consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(20)).expect("dequeue").expect("the message");
    assert_eq!(delivery.lease.id, id);
}

#[test]
fn a_transaction_that_takes_its_time_holds_up_no_worker() {
    let place = Place::new();
    place.queue.enqueue(vec![waiting("first")]).expect("enqueued");
    let mut consumer = place.queue.consumer(&["pulpo".to_owned()]).expect("a consumer");
    let running = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("a message");
    let mut client = place.client();
    let mut transaction = client.transaction().expect("begun");
    let publish = format!(
        r#"SELECT {}.publish('recount', '{{}}', '{{"unique_key": "a", "unique_for": "waiting"}}')"#,
        place.schema
    );
    let second: i64 = transaction.query_one(&publish, &[]).expect("published").get(0);
    // The run fails, and would get its key back if there were no transaction.
    let since = Instant::now();
    consumer.settle(&running.lease, &mut Settlement::rollback(Duration::ZERO, "failed", true)).expect("rollback");
    assert!(since.elapsed() < Duration::from_secs(9), "it waited for {:?}", since.elapsed());
    transaction.commit().expect("committed");
    let kept = place.queue.enqueue(vec![waiting("third")]).expect("enqueued").remove(0);
    assert_eq!((kept.id.as_str(), kept.publication), (second.to_string().as_str(), Publication::Kept));
    assert_eq!(place.count(), 2);
}

#[test]
fn two_sessions_at_the_same_moment_publish_one() {
    let place = Place::new();
    let (mut one, mut other) = (place.client(), place.client());
    let publish = format!(r#"SELECT {}.publish('recount', '{{}}', '{{"unique_key": "a"}}')"#, place.schema);
    let mut transaction = one.transaction().expect("begun");
    let first: i64 = transaction.query_one(&publish, &[]).expect("published").get(0);
    std::thread::scope(|scope| {
        let second = scope.spawn(|| other.query_one(&publish, &[]).expect("kept").get::<_, i64>(0));
        // It waits to see whether the first one commits.
        let waits = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%unique_key%' LIMIT 1";
        let mut looking = place.client();
        assert!(within(Duration::from_secs(60), || !looking.query(waits, &[]).expect("looked").is_empty()));
        transaction.commit().expect("committed");
        assert_eq!(second.join().expect("kept"), first);
    });
    assert_eq!(place.count(), 1);
    assert_eq!(place.queue.list(&Filter::all()).expect("list")[0].state, MessageState::Ready);
}

/// Each transaction would wait for a key of the other one, until PostgreSQL ends one of them after a second.
#[test]
fn batches_of_the_same_keys_in_other_orders_do_not_wait_for_each_other() {
    let place = Place::new();
    let new =
        |round: u32, key: u32| NewMessage::new("pulpo", "recount", "{}").unique(Unique::new(format!("{round} {key}")));
    for (round, keys) in (0..).zip([2, 30, 64, 65, 100]) {
        let publish = |number: u32| -> BTreeSet<String> {
            let mut messages: Vec<_> = (0..keys).map(|key| new(round, (key + number) % keys)).collect();
            if number % 2 == 1 {
                messages.reverse();
            }
            let enqueued = place.queue.enqueue(messages).expect("published");
            enqueued.iter().map(|one| one.id.to_string()).collect()
        };
        let ids: Vec<_> = std::thread::scope(|scope| {
            let publish = &publish;
            let threads: Vec<_> = (0..6).map(|number| scope.spawn(move || publish(number))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(ids.iter().all(|same| *same == ids[0] && same.len() == keys as usize), "{ids:?}");
    }
    let log = place.server.log();
    // The server serves other tests too, whose entries may follow.
    let is_ours = |rest: &&str| rest.lines().take(12).any(|line| line.contains(&place.schema));
    let deadlocks = log.split("deadlock detected").skip(1).filter(is_ours);
    assert_eq!(deadlocks.count(), 0, "{log}");
}

#[test]
fn a_batch_that_waits_for_a_transaction_holds_up_no_batch_of_other_keys() {
    let place = Place::new();
    let batch = |name: &str, keys: u32| -> Vec<NewMessage> {
        let new = |key| NewMessage::new("pulpo", "recount", "{}").unique(Unique::new(format!("{name} {key}")));
        (0..keys).map(new).collect()
    };
    let mut client = place.client();
    let mut transaction = client.transaction().expect("begun");
    let publish = format!(r#"SELECT {}.publish('recount', '{{}}', '{{"unique_key": "a 7"}}')"#, place.schema);
    let first: i64 = transaction.query_one(&publish, &[]).expect("published").get(0);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| place.queue.enqueue(batch("a", 200)).expect("published"));
        let waits = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND strpos(query, $1) > 0 LIMIT 1";
        let mut looking = place.client();
        let schema = &place.schema;
        assert!(within(Duration::from_secs(60), || !looking.query(waits, &[schema]).expect("looked").is_empty()));
        for (name, keys) in [("b", 2), ("c", 100), ("d", 101)] {
            let enqueued = place.queue.enqueue(batch(name, keys)).expect("published without a wait");
            assert_eq!(enqueued.len(), keys as usize);
        }
        transaction.commit().expect("committed");
        let waited = waiting.join().expect("no panic");
        assert_eq!((waited[7].id.as_str(), waited[7].publication), (&*first.to_string(), Publication::Kept));
    });
    assert_eq!(place.count(), 200 + 2 + 100 + 101);
}

/// What a batch takes is part of its run, and no other lane may start it as a run of its own. Which lanes wait at which
/// moment is left to chance here; the unit tests of the prefetch buffer leave nothing to it.
#[test]
fn batches_keep_to_their_limits_while_other_lanes_wait() {
    let place = Place::new();
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(SystemClock::new());
    let file = FileQueue::open(folder.path(), false, clock.clone()).expect("a queue");
    let queues: [(&str, Arc<dyn QueueAdapter>); 2] = [("postgres", Arc::new(place.queue)), ("file", Arc::new(file))];
    for (name, queue) in queues {
        let mut options = WorkerOptions::default();
        (options.concurrency, options.handle_signals) = (4, false);
        let pulpo = Pulpo::with_queue(queue, options, clock.clone());
        let worker = pulpo.worker().expect("handlers").state(name.to_owned());
        let stopper = worker.stopper();
        std::thread::scope(|scope| {
            let working = scope.spawn(|| worker.run().expect("a run"));
            let stop_at_end = StopAtEnd(stopper);
            for round in 1..=12 {
                pulpo.publish_all((0..8).map(|n| Part { key: n % 3 })).expect("published");
                let done = || RUNS.lock().expect("a lock").get(name).map_or(0, |runs| runs.parts);
                until("all have begun", || done() >= round * 8);
            }
            drop(stop_at_end);
            working.join().expect("it ends");
        });
        let all = RUNS.lock().expect("a lock");
        let Runs { most, most_of_a_key, parts, .. } = &all[name];
        assert_eq!((*most_of_a_key, *most <= 2, *parts), (1, true, 12 * 8), "{name}: {most}");
    }
}
