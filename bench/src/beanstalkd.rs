//! The rows of the queue on a beanstalkd server.

use std::sync::Arc;

use pulpo::Pulpo;
use pulpo::clock::SystemClock;
use pulpo::queue::beanstalkd::{BeanstalkdOptions, BeanstalkdQueue};
use pulpo_tests::beanstalkd::BeanstalkdServer;

use crate::measure::{Effort, PRODUCERS, Row, Target};
use crate::{server, work};

pub(crate) const ROWS: &[crate::Group] =
    &[("beanstalkd publish", publish), ("beanstalkd drain", drain), ("beanstalkd commands", commands)];

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
            .target(Target::Ratio(0.7)),
        Row::rates("beanstalkd: drain with 8 lanes", "by hand, and stats-job in another", &same),
    ]
}

/// The number of commands that the server received.
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
