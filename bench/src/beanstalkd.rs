//! The rows of the queue on a beanstalkd server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pulpo::Pulpo;
use pulpo::clock::SystemClock;
use pulpo::queue::beanstalkd::{BeanstalkdOptions, BeanstalkdQueue};
use pulpo::queue::{DequeueFilter, Filter, MessageState, NewMessage, Settlement};
use pulpo_bench::EmailInBatch;
use pulpo_tests::beanstalkd::BeanstalkdServer;
use pulpo_tests::proxy::Line;

use crate::measure::{Effort, PRODUCERS, Row, Target, median};
use crate::{server, work};

pub(crate) const ROWS: &[crate::Group] = &[
    ("beanstalkd publish", publish),
    ("beanstalkd drain", drain),
    ("beanstalkd look", look),
    ("beanstalkd slow-line", slow_line),
    ("beanstalkd commands", commands),
];

pub(crate) fn open(port: u16, lanes: usize) -> Pulpo {
    let options = BeanstalkdOptions::new("127.0.0.1").port(port);
    let queue = BeanstalkdQueue::connect(options, Arc::new(SystemClock::new())).expect("a server");
    work::pulpo(Arc::new(queue), lanes)
}

/// Measures with a new server, so that no round sees the jobs of another.
fn with_server(measure: impl Fn(u16) -> f64) -> f64 {
    let server = BeanstalkdServer::start();
    measure(server.port())
}

fn publish(effort: &Effort) -> Vec<Row> {
    let time = effort.publish();
    let one = effort.against(
        || with_server(|port| work::publish_one(&open(port, 1), time)),
        || with_server(|port| server::publish(port, 1, time)),
    );
    let many = effort.against(
        || with_server(|port| work::publish_many(&open(port, 1), time)),
        || with_server(|port| server::publish(port, PRODUCERS, time)),
    );
    let batches = effort.against(
        || with_server(|port| work::publish_batches(&open(port, 1), time)),
        || with_server(|port| server::publish_pipelined(port, time)),
    );
    vec![
        Row::rates("beanstalkd: publish one by one", "beanstalkc, 1 connection", &one),
        Row::rates("beanstalkd: publish by 8 threads", "beanstalkc, 8 connections", &many).target(Target::Ratio(0.7)),
        Row::rates("beanstalkd: publish in batches of 256", "by hand, 256 puts a write", &batches),
    ]
}

fn drain(effort: &Effort) -> Vec<Row> {
    let jobs = effort.drain() / 2;
    let through_pulpo = |lanes| with_server(|port| work::drain_all(&open(port, lanes), jobs));
    let through_crate = |connections| with_server(|port| server::drain(port, connections, jobs));
    let by_hand = |stats| with_server(|port| server::drain_pipelined(port, 8, jobs, stats));
    let one = effort.against(|| through_pulpo(1), || through_crate(1));
    let eight = effort.against(|| through_pulpo(8), || through_crate(8));
    let pipelined = effort.against(|| through_pulpo(8), || by_hand(false));
    let same = effort.against(|| through_pulpo(8), || by_hand(true));
    vec![
        Row::rates("beanstalkd: drain with 1 lane", "beanstalkc, 1 connection", &one),
        Row::rates("beanstalkd: drain with 8 lanes", "beanstalkc, 8 connections", &eight),
        Row::rates("beanstalkd: drain with 8 lanes", "by hand, delete and reserve in one write", &pipelined)
            .target(Target::Ratio(0.8)),
        Row::rates("beanstalkd: drain with 8 lanes", "by hand, and stats-job in another", &same),
    ]
}

/// Lists and kicks two buried messages, the oldest of a quarter of a million.
fn look(effort: &Effort) -> Vec<Row> {
    const OTHERS: usize = 250_000;
    let server = BeanstalkdServer::start();
    let pulpo = open(server.port(), 1);
    let queue = pulpo.queue();
    let new = |count: usize| (0..count).map(|_| NewMessage::new("mail", "email", "{}")).collect::<Vec<_>>();
    queue.enqueue(new(2)).expect("published");
    let mut consumer = queue.consumer(&["mail".to_owned()]).expect("a consumer");
    let mut bury = || {
        while let Some(delivery) = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("a server") {
            consumer.settle(&delivery.lease, &mut Settlement::bury("no luck", true)).expect("buried");
            if queue.stats().expect("a server").counts[0].buried == 2 {
                break;
            }
        }
    };
    bury();
    (0..OTHERS / 5000).for_each(|_| drop(queue.enqueue(new(5000)).expect("published")));
    let (mut lists, mut kicks) = (Vec::new(), Vec::new());
    let buried = Filter::all().state(MessageState::Buried);
    for _ in 0..effort.rounds {
        let started = Instant::now();
        assert_eq!(queue.list(&buried).expect("a list").len(), 2);
        lists.push(started.elapsed().as_secs_f64());
        let started = Instant::now();
        assert_eq!(queue.kick(&Filter::all()).expect("kicked"), 2);
        kicks.push(started.elapsed().as_secs_f64() * 1000.0);
        bury();
    }
    vec![
        Row::new("beanstalkd: list 2 buried of 250 000", "s", median(&lists)).target(Target::Below(1.0)),
        Row::new("beanstalkd: kick 2 buried of 250 000", "ms", median(&kicks)).target(Target::Below(1000.0)),
    ]
}

/// Runs a batch handler at the other end of a line with a round trip of a millisecond.
fn slow_line(effort: &Effort) -> Vec<Row> {
    const JOBS: u64 = 10_000;
    let drain = || {
        let server = BeanstalkdServer::start();
        let jobs = (0..JOBS).map(EmailInBatch::numbered);
        open(server.port(), 1).publish_all(jobs).expect("published");
        let line = Line::new().delay(Duration::from_micros(500)).start(server.port());
        work::drain(&open(line.port(), 1), JOBS)
    };
    let rates: Vec<_> = (0..effort.rounds).map(|_| drain()).collect();
    let name = "beanstalkd: drain by 100 with 1 lane, 1 ms of round trip";
    // Ten times the 309 a second of two round trips a job.
    vec![Row::new(name, "jobs/s", median(&rates)).target(Target::AtLeast(3090.0))]
}

/// Returns the number of commands that the server received.
fn commands(_: &Effort) -> Vec<Row> {
    const JOBS: u64 = 4096;
    let server = BeanstalkdServer::start();
    let port = server.port();
    let counted = |what: &dyn Fn(&Pulpo)| {
        let pulpo = open(port, 8);
        let before = server::commands(port);
        what(&pulpo);
        (server::commands(port) - before) as f64 / JOBS as f64
    };
    let one_by_one = counted(&|pulpo| {
        (0..JOBS).for_each(|n| drop(pulpo.publish(pulpo_bench::Email::numbered(n)).expect("published")))
    });
    let drained = counted(&|pulpo| {
        work::drain(pulpo, JOBS);
    });
    vec![
        Row::new("beanstalkd: commands for a job published", "", one_by_one),
        Row::new("beanstalkd: commands for a job done", "", drained),
    ]
}
