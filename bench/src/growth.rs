//! Many worker processes on one server: their cost while they are idle, how soon one of them starts a job, and how fast
//! all together drain a queue.
//!
//!     pulpo-bench growth [--processes 200] [--lanes 2]
//!
//! Not among the rows of the table: it takes minutes, and measures a machine that the processes and the server share.
//! `docs/sizing.md` has its numbers.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};
use pulpo::Pulpo;
use pulpo_bench::{Email, now};
use pulpo_tests::beanstalkd::BeanstalkdServer;
use pulpo_tests::postgres::PostgresServer;

use crate::idle::cpu;
use crate::latency::ChildWorker;
use crate::measure::quantile;
use crate::{beanstalkd, postgres as pg, work};

const IDLE: Duration = Duration::from_secs(15);
const PICKUPS: u64 = 30;
const JOBS: u64 = 20_000;

/// A server, as it is seen from outside.
trait Server {
    fn open(&self) -> Pulpo;
    /// Returns the address for the child processes.
    fn place(&self) -> String;
    /// Returns how many statements or commands the server has carried out.
    fn asked(&mut self) -> u64;
    fn connections(&mut self) -> u64;
    /// Returns the processor time of the server, in seconds.
    fn cpu(&self) -> f64;
}

pub(crate) fn measure(processes: usize, lanes: usize) {
    println!("{processes} processes of {lanes} lanes each");
    let server = PostgresServer::with_settings(&["shared_buffers=128MB", "max_wal_size=2GB", "max_connections=1000"]);
    let url = server.fresh_url();
    let client = Client::connect(&server.url(), NoTls).expect("a connection");
    of("PostgreSQL", &mut Postgres { client, id: server.id(), url }, processes, lanes);
    let server = BeanstalkdServer::start();
    of("beanstalkd", &mut Beanstalkd { port: server.port(), id: server.id() }, processes, lanes);
}

fn of(name: &str, server: &mut dyn Server, processes: usize, lanes: usize) {
    let queue = server.open();
    let mut workers = start(&server.place(), processes, lanes);
    // PostgreSQL adds the statements of a session to its statistics up to ten seconds later: those of the start must not
    // count as idle ones.
    thread::sleep(Duration::from_secs(12));
    println!("\n{name}\nconnections, idle: {}", server.connections());

    let switches = |workers: &[ChildWorker]| workers.iter().map(|worker| wake_ups(worker.id())).sum::<u64>();
    let spent = |workers: &[ChildWorker]| workers.iter().map(|worker| cpu(worker.id())).sum::<f64>();
    let (asked, woken, of_server, of_workers) = (server.asked(), switches(&workers), server.cpu(), spent(&workers));
    let started = Instant::now();
    thread::sleep(IDLE);
    let seconds = started.elapsed().as_secs_f64();
    println!("statements or commands a second, idle: {:.1}", (server.asked() - asked) as f64 / seconds);
    println!("wake-ups of workers a second, idle: {:.0}", (switches(&workers) - woken) as f64 / seconds);
    println!(
        "processor, idle: server {:.1} %, all workers {:.1} %",
        (server.cpu() - of_server) / seconds * 100.0,
        (spent(&workers) - of_workers) / seconds * 100.0
    );

    let published: HashMap<u64, u64> = (0..PICKUPS)
        .map(|number| {
            thread::sleep(Duration::from_millis(300));
            queue.publish(Email::numbered(number)).expect("published");
            (number, now())
        })
        .collect();
    thread::sleep(Duration::from_secs(3));
    let began: HashMap<u64, u64> = workers.iter_mut().flat_map(ChildWorker::all_began).collect();
    let late: Vec<f64> = published
        .iter()
        .map(|(number, at)| began.get(number).expect("it has run").saturating_sub(*at) as f64 / 1e6)
        .collect();
    println!("pickup: p50 {:.1} ms, p99 {:.1} ms", quantile(&late, 0.5), quantile(&late, 0.99));

    let (of_server, of_workers, asked) = (server.cpu(), spent(&workers), server.asked());
    let started = Instant::now();
    work::fill(&queue, PICKUPS..PICKUPS + JOBS);
    let filled = started.elapsed();
    let mut most = 0;
    // Counted jobs have been done: the counts of running jobs are not zero.
    while queue.queue().stats().expect("stats").total() > 0 {
        most = most.max(server.connections());
        thread::sleep(Duration::from_millis(50));
    }
    let took = started.elapsed();
    println!(
        "{JOBS} jobs: published in {filled:.1?}, done after {took:.1?}, {:.0} a second; connections at most {most}; \
         processor: server {:.1} s, workers {:.1} s; statements or commands: {}",
        JOBS as f64 / took.as_secs_f64(),
        server.cpu() - of_server,
        spent(&workers) - of_workers,
        server.asked() - asked
    );
}

/// Starts the processes, several at a time, because each takes a moment.
fn start(place: &str, processes: usize, lanes: usize) -> Vec<ChildWorker> {
    let mut all = Vec::new();
    while all.len() < processes {
        let some = (processes - all.len()).min(4);
        thread::scope(|scope| {
            let starting: Vec<_> = (0..some).map(|_| scope.spawn(|| ChildWorker::start(place, lanes))).collect();
            all.extend(starting.into_iter().map(|worker| worker.join().expect("no panic")));
        });
    }
    all
}

/// Returns how often the threads of a process have slept and been woken.
fn wake_ups(id: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let of_task = tasks.map(|task| {
        let text = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or(0_u64)
    });
    of_task.sum()
}

struct Postgres {
    client: Client,
    id: u32,
    url: String,
}

impl Postgres {
    fn number(&mut self, sql: &str) -> u64 {
        let number: i64 = self.client.query_one(sql, &[]).expect("a number").get(0);
        number.cast_unsigned()
    }
}

impl Server for Postgres {
    fn open(&self) -> Pulpo {
        pg::open(&self.url, 1)
    }

    fn place(&self) -> String {
        self.url.clone()
    }

    /// Counts transactions, since each of the queue's statements is one.
    fn asked(&mut self) -> u64 {
        self.client.batch_execute("SELECT pg_stat_clear_snapshot()").expect("cleared");
        self.number("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()")
    }

    fn connections(&mut self) -> u64 {
        self.number("SELECT count(*) - 1 FROM pg_stat_activity WHERE backend_type = 'client backend'")
    }

    /// Adds up the time of the server's live processes.
    fn cpu(&self) -> f64 {
        let own = std::iter::once(self.id);
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.id)).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>();
        own.chain(children).map(cpu).sum()
    }
}

struct Beanstalkd {
    port: u16,
    id: u32,
}

impl Beanstalkd {
    fn stats(&self) -> HashMap<String, u64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        stream.write_all(b"stats\r\n").expect("asked");
        let lines = BufReader::new(stream).lines().map_while(Result::ok).skip(1);
        let pairs = lines.take_while(|line| !line.is_empty());
        pairs
            .filter_map(|line| {
                let (key, value) = line.split_once(": ")?;
                Some((key.to_owned(), value.trim().parse().ok()?))
            })
            .collect()
    }
}

impl Server for Beanstalkd {
    fn open(&self) -> Pulpo {
        beanstalkd::open(self.port, 1)
    }

    fn place(&self) -> String {
        self.port.to_string()
    }

    fn asked(&mut self) -> u64 {
        self.stats().iter().filter(|(key, _)| key.starts_with("cmd-")).map(|(_, count)| count).sum()
    }

    fn connections(&mut self) -> u64 {
        self.stats()["current-connections"] - 1
    }

    fn cpu(&self) -> f64 {
        cpu(self.id)
    }
}
