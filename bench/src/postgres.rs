//! The rows of the queue in PostgreSQL, and those of a bare table with the same durability:
//! publications wait for the disk, leases and deletions of finished jobs do not.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use postgres::{Client, NoTls, Statement};
use pulpo::Pulpo;
use pulpo::clock::SystemClock;
use pulpo::queue::postgres::PostgresQueue;
use pulpo::worker::WorkerOptions;
use pulpo_bench::Email;
use pulpo_tests::postgres::PostgresServer;

use crate::measure::{BATCH, Effort, PRODUCERS, Row, Target};
use crate::work;

pub(crate) const ROWS: &[crate::Group] = &[
    ("postgres publish", publish),
    ("postgres drain", drain),
    ("postgres idle", idle),
    ("postgres snapshot", snapshot),
];

pub(crate) fn open(url: &str, lanes: usize) -> Pulpo {
    open_with(url, lanes, |_| ())
}

pub(crate) fn open_with(url: &str, lanes: usize, change: fn(&mut WorkerOptions)) -> Pulpo {
    let options = url.parse().expect("a URL");
    let queue = PostgresQueue::connect(options, Arc::new(SystemClock::new())).expect("a database");
    work::pulpo_with(Arc::new(queue), lanes, change)
}

fn publish(effort: &Effort) -> Vec<Row> {
    let time = effort.publish();
    let server = PostgresServer::durable();
    check_lengths(&server);
    let one = effort
        .against(|| work::publish_one(&open(&server.fresh_url(), 1), time), || Bare::new(&server).publish(1, 1, time));
    let many = effort.against(
        || work::publish_many(&open(&server.fresh_url(), 1), time),
        || Bare::new(&server).publish(PRODUCERS, 1, time),
    );
    let batches = effort.against(
        || work::publish_batches(&open(&server.fresh_url(), 1), time),
        || Bare::new(&server).publish(1, BATCH, time),
    );
    vec![
        Row::rates("postgres: publish one by one", "INSERT, 1 connection", &one).target(Target::Ratio(0.9)),
        Row::rates("postgres: publish by 8 threads", "INSERT, 8 connections", &many).target(Target::Ratio(0.6)),
        Row::rates("postgres: publish in batches of 256", "INSERT of 256", &batches).target(Target::Ratio(0.6)),
    ]
}

fn drain(effort: &Effort) -> Vec<Row> {
    let jobs = effort.drain() / 2;
    let server = PostgresServer::durable();
    let through_pulpo = |lanes| work::drain_all(&open(&server.fresh_url(), lanes), jobs);
    let one = effort.against(|| through_pulpo(1), || Bare::new(&server).drain(1, jobs));
    let eight = effort.against(|| through_pulpo(8), || Bare::new(&server).drain(8, jobs));
    vec![
        Row::rates("postgres: drain with 1 lane", "SKIP LOCKED and DELETE of 256, 1 connection", &one),
        Row::rates("postgres: drain with 8 lanes", "SKIP LOCKED and DELETE of 256, 8 connections", &eight)
            .target(Target::Ratio(0.6)),
    ]
}

/// Measures the cost of a forgotten open transaction: while it is open, rows that have been deleted since cannot be
/// vacuumed.
fn snapshot(effort: &Effort) -> Vec<Row> {
    const PARTS: u64 = 10;
    let part = if effort.quick { 4_000 } else { 10_000 };
    let rates = |is_pinned: bool| -> Vec<f64> {
        let server = PostgresServer::durable();
        let mut client = Client::connect(&server.url(), NoTls).expect("a connection");
        let pulpo = open(&server.fresh_url(), 8);
        if is_pinned {
            client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").expect("a snapshot");
        }
        let part_of = |n| {
            work::fill(&pulpo, n * part..(n + 1) * part);
            work::drain(&pulpo, part)
        };
        let rates = (0..PARTS).map(part_of).collect();
        let began = Instant::now();
        pulpo.queue().stats().expect("stats");
        eprintln!("pinned: {is_pinned}: {rates:.0?} jobs/s, stats in {:?}", began.elapsed());
        rates
    };
    let row = |name: &str, rates: &[f64]| {
        // The first part finds cold files and plans.
        let (first, last) = (rates[1], rates[rates.len() - 1]);
        Row::rates(name, "the second tenth", &(vec![last], vec![first]))
    };
    let total = part * PARTS;
    let (free, pinned) = (rates(false), rates(true));
    vec![
        row(&format!("postgres: drain, the last tenth of {total} jobs"), &free),
        row("postgres: the same while a transaction is open from before", &pinned).target(Target::Ratio(0.5)),
    ]
}

/// Returns the number of transactions that an idle worker of eight lanes causes.
fn idle(_: &Effort) -> Vec<Row> {
    const SECONDS: u64 = 20;
    let server = PostgresServer::with_settings(&["autovacuum=off"]);
    let working = work::Working::start(&open(&server.fresh_url(), 8));
    // The server adds the transactions of a session to its statistics up to ten seconds later: those of the start must
    // not count as idle ones.
    thread::sleep(Duration::from_secs(12));
    let before = transactions(&server);
    thread::sleep(Duration::from_secs(SECONDS));
    // Counting the transactions is one itself.
    let all = transactions(&server) - before - 1;
    working.stop();
    let each = all as f64 / SECONDS as f64;
    vec![Row::new("postgres: transactions of an idle worker, 8 lanes", "a second", each).target(Target::Below(1.0))]
}

fn transactions(server: &PostgresServer) -> i64 {
    let said = server
        .psql("SELECT pg_stat_clear_snapshot(); SELECT xact_commit FROM pg_stat_database WHERE datname = 'postgres'");
    said.lines().last().and_then(|line| line.parse().ok()).expect("a number")
}

/// A table with the minimum that a queue needs.
struct Bare {
    url: String,
}

const TABLE: &str = "DROP TABLE IF EXISTS bare;
    CREATE TABLE bare(id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, queue text NOT NULL,
        state smallint NOT NULL DEFAULT 0, priority bigint NOT NULL, lease text, text text NOT NULL);
    CREATE INDEX bare_ready ON bare(queue, priority, id) WHERE state = 0";

impl Bare {
    fn new(server: &PostgresServer) -> Self {
        let bare = Self { url: server.url() };
        bare.client(true).batch_execute(TABLE).expect("a table");
        bare
    }

    fn client(&self, durable: bool) -> Client {
        let mut client = Client::connect(&self.url, NoTls).expect("a connection");
        if !durable {
            client.batch_execute("SET synchronous_commit = off").expect("a setting");
        }
        client
    }

    fn publish(&self, connections: u64, batch: u64, time: Duration) -> f64 {
        let producers: Vec<_> = (0..connections).map(|_| BareProducer::new(self.client(true))).collect();
        let started = Instant::now();
        let rows: u64 = thread::scope(|scope| {
            let publish = |mut producer: BareProducer| scope.spawn(move || producer.publish(batch, started, time));
            let publishing: Vec<_> = producers.into_iter().map(publish).collect();
            publishing.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        rows as f64 / started.elapsed().as_secs_f64()
    }

    fn drain(&self, connections: usize, jobs: u64) -> f64 {
        let texts: Vec<_> = (0..jobs).map(text).collect();
        let fill =
            "INSERT INTO bare(queue, priority, text) SELECT 'pulpo', 65536, text FROM unnest($1::text[]) AS new(text)";
        self.client(false).execute(fill, &[&texts]).expect("rows");
        let started = Instant::now();
        thread::scope(|scope| {
            for _ in 0..connections {
                scope.spawn(|| self.drain_alone());
            }
        });
        jobs as f64 / started.elapsed().as_secs_f64()
    }

    fn drain_alone(&self) {
        let mut client = self.client(false);
        let claim = client
            .prepare(
                "UPDATE bare SET state = 2, lease = 'token' WHERE ctid = ANY (ARRAY(SELECT ctid FROM bare
                    WHERE state = 0 AND queue = 'pulpo' ORDER BY priority, id LIMIT 256 FOR UPDATE SKIP LOCKED))
                RETURNING id, text",
            )
            .expect("a statement");
        let delete = client.prepare("DELETE FROM bare WHERE id = ANY ($1)").expect("a statement");
        loop {
            let rows = client.query(&claim, &[]).expect("rows");
            let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
            if ids.is_empty() {
                return;
            }
            client.execute(&delete, &[&ids]).expect("rows");
        }
    }
}

/// A connection that has published its first row, which is not counted in the rate.
struct BareProducer {
    client: Client,
    one: Statement,
    many: Statement,
}

impl BareProducer {
    fn new(mut client: Client) -> Self {
        let one = client
            .prepare("INSERT INTO bare(queue, priority, text) VALUES ('pulpo', 65536, $1) RETURNING id")
            .expect("a statement");
        let many = client
            .prepare(
                "INSERT INTO bare(queue, priority, text) SELECT 'pulpo', 65536, text
                    FROM unnest($1::text[]) AS new(text) RETURNING id",
            )
            .expect("a statement");
        client.query(&one, &[&text(0)]).expect("a row");
        Self { client, one, many }
    }

    fn publish(&mut self, batch: u64, started: Instant, time: Duration) -> u64 {
        let mut rows = 0;
        while started.elapsed() < time {
            if batch == 1 {
                self.client.query(&self.one, &[&text(rows)]).expect("a row");
            } else {
                let texts: Vec<_> = (0..batch).map(|n| text(rows + n)).collect();
                self.client.query(&self.many, &[&texts]).expect("rows");
            }
            rows += batch;
        }
        rows
    }
}

/// Returns a text as long as the message of the same job.
fn text(number: u64) -> String {
    let body = serde_json::to_string(&Email::numbered(number)).expect("JSON");
    let header = r#"{"request_type":"send_email","priority":65536,"attempts":0,"shape":"1-0123456789abcdef"}"#;
    format!("{{\"header\":{header},\"body\":{body}}}")
}

/// Checks that both sides store texts of the same length.
fn check_lengths(server: &PostgresServer) {
    let url = server.fresh_url();
    open(&url, 1).publish(Email::numbered(1)).expect("published");
    let (_, schema) = url.split_once("schema=").expect("a schema of its own");
    let stored = server.psql(&format!("SELECT length(text) FROM {schema}.message"));
    assert_eq!(stored.trim(), text(1).len().to_string(), "the bare texts are as long as the messages");
}
