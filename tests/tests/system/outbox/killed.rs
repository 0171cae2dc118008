//! Orders and their jobs, while all participants are killed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pulpo_tests::program::{Running, Sandbox};
use pulpo_tests::wait::{until, within};

use super::{shop, start};

/// The number of orders per round; every other one is rolled back.
const ORDERS_PER_ROUND: i64 = 100;
const ORDERS: i64 = 1000;

/// The participants beside the program that creates orders.
struct Parts<'a> {
    place: &'a Sandbox,
    running: BTreeMap<&'static str, Running>,
}

impl Parts<'_> {
    fn start(&mut self, part: &'static str) {
        let arguments: &[&str] = match part {
            "relay" => &["relay"],
            // Both move jobs, the worker with its built-in relay.
            _ => &["work", "--concurrency", "2"],
        };
        self.running.insert(part, start(self.place, arguments));
    }

    /// Kills a participant as `kill -9` does, and starts another one.
    fn kill(&mut self, part: &'static str) {
        drop(self.running.remove(part));
        self.start(part);
    }
}

/// Creates orders, half of which are rolled back, while the program that creates them, a relay and
/// a worker are killed again and again.
fn jobs_and_committed_orders_are_the_same(place: &Sandbox) {
    let shop = shop(place);
    let mut random = fastrand::Rng::with_seed(7);
    let mut parts = Parts { place, running: BTreeMap::new() };
    parts.start("relay");
    parts.start("worker");
    for round in 0..ORDERS / ORDERS_PER_ROUND {
        let first = round * ORDERS_PER_ROUND + 1;
        let made = |shop: &rusqlite::Connection| -> i64 {
            shop.query_row("SELECT coalesce(max(id), 0) FROM orders", [], |row| row.get(0)).expect("a number")
        };
        // A killed program continues after its last commit.
        let mut next = first;
        while next < first + ORDERS_PER_ROUND {
            let mut orders =
                start(place, &["orders", &next.to_string(), &(first + ORDERS_PER_ROUND - next).to_string()]);
            // Every other one is killed at any moment, and the others when they have done something, so that it goes on
            // where programs take long to start.
            if random.bool() {
                until("it goes on", || orders.has_ended() || made(&shop) >= next);
            }
            let kill_after = Duration::from_millis(random.u64(5..120));
            let ended = within(kill_after, || orders.has_ended());
            if ended && orders.end() == 0 {
                break;
            }
            next = next.max(made(&shop) + 1);
        }
        parts.kill(if random.bool() { "relay" } else { "worker" });
    }
    let mut query = shop.prepare("SELECT id FROM orders").expect("a query");
    let committed: BTreeSet<i64> =
        query.query_map([], |row| row.get(0)).expect("rows").collect::<Result<_, _>>().expect("numbers");
    assert_eq!(committed.len() as i64, ORDERS / 2);
    until("each committed order has its job", || super::lines(place).len() >= committed.len());
    assert_eq!(super::lines(place), committed);
    until("no row waits", || super::waiting(&shop) == 0);
    drop(parts);
}

#[test]
fn with_kills_the_embedded_queue_gets_each_committed_order_once() {
    let place = Sandbox::new();
    jobs_and_committed_orders_are_the_same(&place);
    // A worker that is killed may run a job twice, but the job was published once.
    let queue = rusqlite::Connection::open(place.path("pulpo-data/queue.db")).expect("the queue");
    let published = "SELECT seq FROM sqlite_sequence WHERE name = 'message'";
    let published: i64 = queue.query_row(published, [], |row| row.get(0)).expect("a number");
    assert_eq!(published, ORDERS / 2);
}

#[test]
fn with_kills_postgresql_gets_each_committed_order_once() {
    let place = Sandbox::with_postgres();
    jobs_and_committed_orders_are_the_same(&place);
    // One for each moved row.
    assert_eq!(place.ask_database("SELECT count(*) FROM SCHEMA.outbox_id").trim(), (ORDERS / 2).to_string());
}

#[test]
fn with_kills_beanstalkd_gets_each_committed_order_and_no_other() {
    jobs_and_committed_orders_are_the_same(&Sandbox::with_beanstalkd());
}
