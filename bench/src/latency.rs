//! How soon an idle worker starts a job, measured from the call of `publish` and from its return: a
//! worker in this process, and one in another.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use pulpo::Pulpo;
use pulpo_bench::{Email, RUNS, now};
use pulpo_tests::beanstalkd::BeanstalkdServer;
use pulpo_tests::postgres::PostgresServer;

use crate::measure::{Effort, Row, Target, quantile};
use crate::work::Working;
use crate::{beanstalkd, file, postgres};

pub(crate) const ROWS: &[crate::Group] =
    &[("file latency", of_file), ("beanstalkd latency", of_beanstalkd), ("postgres latency", of_postgres)];

const LANES: usize = 4;
const PAUSE: Duration = Duration::from_millis(10);
/// On PostgreSQL a process notifies others of its publications at most ten times a second: if they come faster, most of
/// the time is the wait for that.
const LONG_PAUSE: Duration = Duration::from_millis(120);

/// The times of the call and the return of `publish`, by number.
type Published = HashMap<u64, (u64, u64)>;

fn publish(pulpo: &Pulpo, count: u64, pause: Duration) -> Published {
    let one = |number| {
        thread::sleep(pause);
        let called = now();
        pulpo.publish(Email::numbered(number)).expect("published");
        (number, (called, now()))
    };
    (0..count).map(one).collect()
}

fn here(pulpo: &Pulpo, count: u64) -> (Published, Vec<(u64, u64)>) {
    RUNS.expect(count, true);
    let working = Working::start(pulpo);
    let published = publish(pulpo, count, PAUSE);
    RUNS.wait();
    working.stop();
    (published, RUNS.began())
}

/// Measures with the worker in another process, which reports when each job began.
fn elsewhere(pulpo: &Pulpo, place: &str, count: u64, pause: Duration) -> (Published, Vec<(u64, u64)>) {
    let worker = ChildWorker::start(place, LANES);
    let published = publish(pulpo, count, pause);
    (published, worker.began(count))
}

fn rows(of: &str, (published, began): &(Published, Vec<(u64, u64)>), p50: Option<f64>, p99: Option<f64>) -> Vec<Row> {
    let since = |from: fn(&(u64, u64)) -> u64| -> Vec<f64> {
        // The first job finds cold caches.
        let late = |(number, began): &(u64, u64)| began.saturating_sub(from(&published[number])) as f64 / 1e6;
        began.iter().filter(|(number, _)| *number > 0).map(late).collect()
    };
    let (called, returned) = (since(|at| at.0), since(|at| at.1));
    let row = |name: &str, values: &[f64], share| Row::new(format!("{of}: {name}"), "ms", quantile(values, share));
    let aimed = |row: Row, aim: Option<f64>| match aim {
        Some(aim) => row.target(Target::Below(aim)),
        None => row,
    };
    vec![
        aimed(row("pickup after publish returned, p50", &returned, 0.5), p50),
        aimed(row("pickup after publish returned, p99", &returned, 0.99), p99),
        row("pickup after publish was called, p50", &called, 0.5),
        row("pickup after publish was called, p99", &called, 0.99),
    ]
}

fn count(effort: &Effort) -> u64 {
    if effort.quick { 100 } else { 500 }
}

fn of_file(effort: &Effort) -> Vec<Row> {
    let place = effort.place();
    let mut all =
        rows("file, one process", &here(&file::open(place.path(), LANES), count(effort)), Some(0.2), Some(10.0));
    let place = effort.place();
    let name = place.path().display().to_string();
    let across = elsewhere(&file::open(place.path(), LANES), &name, count(effort), PAUSE);
    all.extend(rows("file, two processes", &across, Some(2.0), Some(10.0)));
    all
}

fn of_beanstalkd(effort: &Effort) -> Vec<Row> {
    let server = BeanstalkdServer::start();
    let mut all =
        rows("beanstalkd, one process", &here(&beanstalkd::open(server.port(), LANES), count(effort)), None, None);
    let across = elsewhere(&beanstalkd::open(server.port(), LANES), &server.port().to_string(), count(effort), PAUSE);
    all.extend(rows("beanstalkd, two processes", &across, None, None));
    all
}

fn of_postgres(effort: &Effort) -> Vec<Row> {
    let server = PostgresServer::durable();
    let url = server.fresh_url();
    let one_by_one = elsewhere(&postgres::open(&url, LANES), &url, count(effort) / 5, LONG_PAUSE);
    let mut all = rows("postgres, two processes", &one_by_one, Some(3.0), None);
    let url = server.fresh_url();
    let often = elsewhere(&postgres::open(&url, LANES), &url, count(effort), PAUSE);
    all.extend(rows("postgres, two processes, 100 publications a second", &often, None, None));
    all
}

/// Opens the queue in this folder, on the server at this port, or in this database.
pub(crate) fn open(place: &str, lanes: usize) -> Pulpo {
    match place.parse() {
        Ok(port) => beanstalkd::open(port, lanes),
        Err(_) if place.starts_with("postgres:") => postgres::open(place, lanes),
        Err(_) => file::open(Path::new(place), lanes),
    }
}

/// A worker in its own process, which ends when its standard input is closed.
pub(crate) struct ChildWorker {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl ChildWorker {
    pub(crate) fn start(place: &str, lanes: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["child-worker", place, &lanes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        assert_eq!(lines.next().expect("a line").expect("text"), "ready");
        Self { child, lines }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns when each of the jobs began.
    pub(crate) fn all_began(&mut self) -> Vec<(u64, u64)> {
        writeln!(self.child.stdin.as_mut().expect("a pipe"), "0").expect("heard");
        let lines = self.lines.by_ref().map(|line| line.expect("text"));
        lines.take_while(|line| line != "end").map(|line| pair(&line)).collect()
    }

    /// Returns when each job began, after this many have begun.
    fn began(mut self, count: u64) -> Vec<(u64, u64)> {
        writeln!(self.child.stdin.as_mut().expect("a pipe"), "{count}").expect("heard");
        let lines = &mut self.lines;
        (0..count).map(|_| pair(&lines.next().expect("a line").expect("text"))).collect()
    }
}

fn pair(line: &str) -> (u64, u64) {
    let (number, at) = line.split_once(' ').expect("two numbers");
    (number.parse().expect("a number"), at.parse().expect("a time"))
}

impl Drop for ChildWorker {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The program of the child process.
pub(crate) fn child_worker(place: &str, lanes: usize) {
    RUNS.expect(u64::MAX, true);
    let pulpo = Arc::new(open(place, lanes));
    let working = Working::start(&pulpo);
    thread::sleep(Duration::from_millis(300));
    println!("ready");
    for line in std::io::stdin().lines() {
        let count: u64 = line.expect("text").parse().expect("a number");
        while RUNS.count() < count {
            thread::sleep(Duration::from_millis(5));
        }
        for (number, at) in RUNS.began() {
            println!("{number} {at}");
        }
        println!("end");
    }
    working.stop();
}
