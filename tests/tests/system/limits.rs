//! Limits on simultaneous jobs of a type or a queue, and the other settings that a configuration
//! can change for one handler.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use pulpo::clock::{Clock, ManualClock, SystemClock};
use pulpo::queue::beanstalkd::{BeanstalkdOptions, BeanstalkdQueue};
use pulpo::queue::file::FileQueue;
use pulpo::queue::{Filter, MessageState, QueueAdapter};
use pulpo::worker::{HandlerOptions, QueueOptions, Stopper, Summary, WorkerOptions};
use pulpo::{Job, Message, Pulpo};
use pulpo_tests::beanstalkd::BeanstalkdServer;
use pulpo_tests::wait::until;

use crate::jobs::{Act, Hurry, Mail, What, free, runs};

fn options() -> WorkerOptions {
    let mut options = WorkerOptions::default();
    options.concurrency = 4;
    options.handle_signals = false;
    options
}

fn at_most(jobs: usize) -> HandlerOptions {
    let mut options = HandlerOptions::default();
    options.concurrency = Some(jobs);
    options
}

/// A worker on its thread.
struct Working {
    stopper: Stopper,
    thread: Option<JoinHandle<Summary>>,
}

impl Working {
    fn start(pulpo: &Pulpo) -> Self {
        let worker = pulpo.worker().expect("handlers");
        let stopper = worker.stopper();
        Self { stopper, thread: Some(std::thread::spawn(move || worker.run().expect("works"))) }
    }

    fn stop(mut self) -> Summary {
        self.stopper.stop();
        self.thread.take().expect("once").join().expect("no panic")
    }
}

fn file_queue(clock: Arc<dyn Clock>) -> Arc<dyn QueueAdapter> {
    Arc::new(FileQueue::memory(false, clock).expect("a queue"))
}

/// Runs a test on the embedded queue and on a server.
fn on_each(options: &WorkerOptions, test: impl Fn(&Pulpo, &str)) {
    let server = BeanstalkdServer::start();
    let at_server = BeanstalkdOptions::new("127.0.0.1").port(server.port());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    for (name, queue) in
        [("file", file_queue(clock.clone())), ("beanstalkd", Arc::new(BeanstalkdQueue::new(at_server, clock.clone())))]
    {
        test(&Pulpo::with_queue(queue, options.clone(), clock.clone()), name);
    }
}

fn reserved(pulpo: &Pulpo) -> u64 {
    pulpo.queue().stats().expect("stats").counts.iter().map(|counts| counts.reserved).sum()
}

fn left(pulpo: &Pulpo, queue: &str) -> u64 {
    let stats = pulpo.queue().stats().expect("stats");
    stats.counts.iter().filter(|counts| counts.queue == queue).map(|counts| counts.total()).sum()
}

/// Publishes jobs that block until they are released. Checks that at most `limit` of them run at a
/// time, in order, that no worker holds the rest, and that `others` continue.
fn keeps_the_limit<J: Job, O: Job>(
    pulpo: &Pulpo,
    limit: usize,
    blocking: impl Fn(&str) -> J,
    other: impl Fn(&str) -> O,
    others_queue: &str,
    key: &str,
) {
    let keys: Vec<_> = (0..5).map(|number| format!("{key} {number}")).collect();
    for key in &keys {
        pulpo.publish(blocking(key)).expect("published");
    }
    let working = Working::start(pulpo);
    let begun = |keys: &[String]| keys.iter().filter(|key| runs(key) > 0).count();
    for done in 0..keys.len() {
        let expected = (done + limit).min(keys.len());
        until("the next ones begin", || begun(&keys) == expected);
        assert_eq!(begun(&keys[..expected]), expected, "in their order");
        // The remaining lanes run the other jobs.
        for number in 0..3 {
            pulpo.publish(other(&format!("{key} other {done} {number}"))).expect("published");
        }
        until("all others are done", || left(pulpo, others_queue) == 0);
        assert_eq!(begun(&keys), expected, "no more than may");
        assert_eq!(reserved(pulpo), (expected - done) as u64, "nothing else is leased");
        free(&keys[done]);
    }
    until("all are done", || left(pulpo, "pulpo") + left(pulpo, "mail") == 0);
    let summary = working.stop();
    assert_eq!(
        (summary.done, summary.retried, summary.released, summary.lost_leases),
        (5 + 5 * 3, 0, 0, 0),
        "{summary:?}"
    );
}

#[test]
fn a_type_at_its_limit_waits_in_the_queue_and_delays_no_other_type() {
    let mut options = options();
    options.handlers.insert("act".to_owned(), at_most(1));
    // In the same queue, so that the queue must pick by type.
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let pulpo = Pulpo::with_queue(file_queue(clock.clone()), options, clock);
    let blocking = |key: &str| Act::new(key, What::Block);
    let other = |key: &str| Hurry(Act::new(key, What::Succeed));
    let keys = |number| format!("type limit {number}");
    for number in 0..5 {
        pulpo.publish(blocking(&keys(number))).expect("published");
    }
    let working = Working::start(&pulpo);
    for number in 0..5 {
        until("it begins", || runs(&keys(number)) == 1);
        for number in 0..3 {
            pulpo.publish(other(&format!("type limit other {number}"))).expect("published");
        }
        let left = 5 - number as u64;
        until("the others are done", || self::left(&pulpo, "pulpo") == left);
        assert_eq!((number + 1..5).map(|later| runs(&keys(later))).sum::<u32>(), 0, "one at a time");
        assert_eq!(reserved(&pulpo), 1, "nothing else is leased");
        free(&keys(number));
    }
    until("all are done", || left(&pulpo, "pulpo") == 0);
    let summary = working.stop();
    assert_eq!((summary.done, summary.retried, summary.released), (20, 0, 0), "{summary:?}");
}

#[test]
fn a_queue_at_its_limit_waits_and_delays_no_other_queue() {
    for limit in [1, 2] {
        let mut options = options();
        let mut queue = QueueOptions::default();
        queue.concurrency = Some(limit);
        options.queue_options.insert("pulpo".to_owned(), queue);
        on_each(&options, |pulpo, name| {
            let blocking = |key: &str| Act::new(key, What::Block);
            let key = format!("queue limit {limit} {name}");
            keeps_the_limit(pulpo, limit, blocking, |key| Mail(key.to_owned()), "mail", &key);
        });
    }
}

#[test]
fn a_type_with_a_queue_of_its_own_is_limited_at_a_server_too() {
    let mut options = options();
    options.handlers.insert("mail".to_owned(), at_most(2));
    on_each(&options, |pulpo, name| {
        let blocking = |key: &str| Mail(format!("block {key}"));
        let other = |key: &str| Act::new(key, What::Succeed);
        let keys: Vec<_> = (0..5).map(|number| format!("own queue {name} {number}")).collect();
        for key in &keys {
            pulpo.publish(blocking(key)).expect("published");
        }
        let working = Working::start(pulpo);
        let begun = || keys.iter().filter(|key| runs(&format!("block {key}")) > 0).count();
        until("two begin", || begun() == 2);
        pulpo.publish_all((0..20).map(|number| other(&format!("own queue other {name} {number}")))).expect("published");
        until("the others are done", || left(pulpo, "pulpo") == 0);
        assert_eq!((begun(), reserved(pulpo)), (2, 2));
        keys.iter().for_each(|key| free(&format!("block {key}")));
        until("all are done", || left(pulpo, "mail") == 0);
        assert_eq!(working.stop().done, 25);
    });
}

#[test]
fn a_limit_that_a_server_cannot_keep_is_refused_at_start() {
    let mut options = options();
    options.handlers.insert("act".to_owned(), at_most(1));
    on_each(&options, |pulpo, name| {
        if name == "file" {
            return;
        }
        let error = pulpo.work().expect_err("refused").to_string();
        let expected = "`handlers.act.concurrency` cannot be enforced: this queue cannot pick by request type; \
                        give the handler a queue of its own";
        assert!(error.contains(expected), "{error}");
    });
}

#[test]
fn a_run_that_exceeded_its_timeout_counts_until_it_returns() {
    let mut options = options();
    options.handlers.insert("hurry".to_owned(), at_most(1));
    let clock = ManualClock::at("2026-11-23T09:00:00Z".parse().expect("a time"));
    let pulpo = Pulpo::with_queue(file_queue(Arc::new(clock.clone())), options, Arc::new(clock.clone()));
    for key in ["stuck", "behind the stuck one"] {
        pulpo.publish(Hurry(Act::new(key, What::Block))).expect("published");
    }
    let working = Working::start(&pulpo);
    until("the first begins", || runs("stuck") == 1);
    clock.advance(Duration::from_secs(31));
    until("it has timed out", || reserved(&pulpo) == 0);
    // It still uses the limited resource, so jobs of its type wait; others continue.
    for number in 0..3 {
        pulpo.publish(Act::new(&format!("beside the stuck one {number}"), What::Succeed)).expect("published");
    }
    until("the others are done", || left(&pulpo, "pulpo") == 2);
    assert_eq!(runs("behind the stuck one"), 0);
    free("stuck");
    until("the next begins", || runs("behind the stuck one") == 1);
    free("behind the stuck one");
    until("it is done", || reserved(&pulpo) == 0);
    assert_eq!(working.stop().retried, 1);
}

#[test]
fn a_handler_is_run_as_the_configuration_says() {
    let mut changed = HandlerOptions::default();
    changed.max_attempts = Some(2);
    changed.backoff = Some("1m".parse().expect("a backoff"));
    changed.priority = Some(pulpo::Priority::new(3));
    changed.ttr = Some(Duration::from_secs(90));
    let mut hurried = HandlerOptions::default();
    hurried.timeout = Some(Some(Duration::from_secs(5)));
    let mut options = options();
    options.handlers.extend([("act".to_owned(), changed), ("hurry".to_owned(), hurried)]);
    let clock = ManualClock::at("2026-11-23T09:00:00Z".parse().expect("a time"));
    let pulpo = Pulpo::with_queue(file_queue(Arc::new(clock.clone())), options, Arc::new(clock.clone()));

    let failing = pulpo.publish(Act::new("changed", What::Fail)).expect("published");
    let said = pulpo.publish(Message::new(Act::new("changed too", What::Succeed)).priority(9)).expect("published");
    let peek = |message: &Message<Act>| pulpo.queue().peek(message.id().expect("an id")).expect("peek");
    let stored = peek(&failing).expect("there");
    assert_eq!((stored.priority.get(), stored.ttr), (3, Some(Duration::from_secs(90))));
    assert_eq!(peek(&said).expect("there").priority.get(), 9, "what a message says goes before");
    pulpo.publish(Hurry(Act::new("changed hurry", What::Block))).expect("published");

    let working = Working::start(&pulpo);
    until("it has failed", || peek(&failing).is_some_and(|message| message.state == MessageState::Delayed));
    let due = peek(&failing).and_then(|message| message.until).expect("a time");
    assert_eq!(due - clock.now(), chrono::TimeDelta::minutes(1));
    until("the other has begun", || runs("changed hurry") == 1);
    clock.advance(Duration::from_secs(5));
    let hurry = Filter::all().request_type("hurry");
    until("it has timed out", || {
        pulpo.queue().list(&hurry).is_ok_and(|all| all[0].last_error.as_deref() == Some("timed out after 5s"))
    });
    free("changed hurry");
    clock.advance(Duration::from_secs(60));
    until("it is buried", || peek(&failing).is_some_and(|message| message.state == MessageState::Buried));
    assert_eq!(runs("changed"), 2);
    working.stop();
}

#[test]
fn a_disabled_queue_is_left_alone() {
    let mut options = options();
    let mut queue = QueueOptions::default();
    queue.enabled = Some(false);
    options.queue_options.insert("mail".to_owned(), queue);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let pulpo = Pulpo::with_queue(file_queue(clock.clone()), options, clock);
    pulpo.publish(Mail("left alone".to_owned())).expect("published");
    pulpo.publish(Act::new("not left alone", What::Succeed)).expect("published");
    let worker = pulpo.worker().expect("handlers");
    assert_eq!(worker.queues(), ["invoices", "pulpo"]);
    let working = Working::start(&pulpo);
    until("the other is done", || left(&pulpo, "pulpo") == 0);
    working.stop();
    assert_eq!((runs("left alone"), left(&pulpo, "mail")), (0, 1));
}

/// Two workers with these options, on one queue in a folder, as two processes have it.
fn two_workers(folder: &tempfile::TempDir, options: &WorkerOptions, clock: &ManualClock) -> (Pulpo, [Working; 2]) {
    let open = || {
        let queue = FileQueue::open(folder.path(), false, Arc::new(clock.clone())).expect("a queue");
        Pulpo::with_queue(Arc::new(queue), options.clone(), Arc::new(clock.clone()))
    };
    let (one, other) = (open(), open());
    let workers = [&one, &other].map(Working::start);
    (one, workers)
}

#[test]
fn the_rate_of_a_queue_or_a_handler_holds_over_two_workers() {
    for of_queue in [true, false] {
        let mut options = options();
        let rate = "3/1m".parse().expect("a rate");
        if of_queue {
            let mut queue = QueueOptions::default();
            queue.rate = Some(rate);
            options.queue_options.insert("mail".to_owned(), queue);
        } else {
            let mut handler = HandlerOptions::default();
            handler.rate = Some(rate);
            options.handlers.insert("mail".to_owned(), handler);
        }
        let clock = ManualClock::at("2026-11-23T09:00:00Z".parse().expect("a time"));
        let folder = tempfile::tempdir().expect("a folder");
        let (pulpo, workers) = two_workers(&folder, &options, &clock);
        let keys: Vec<_> = (0..8).map(|number| format!("rate {of_queue} {number}")).collect();
        for key in &keys {
            pulpo.publish(Mail(key.clone())).expect("published");
        }
        for expected in [3, 6, 8] {
            until("the next ones are done", || left(&pulpo, "mail") == 8 - expected);
            // Others go on, and no more of these start.
            let other = format!("beside the rate {of_queue} {expected}");
            pulpo.publish(Act::new(&other, What::Succeed)).expect("published");
            until("the others are done", || left(&pulpo, "pulpo") == 0);
            assert_eq!(keys.iter().map(|key| runs(key)).sum::<u32>(), expected as u32);
            clock.advance(Duration::from_secs(61));
        }
        assert_eq!(workers.map(Working::stop).iter().map(|summary| summary.done).sum::<u64>(), 8 + 3);
    }
}

#[test]
fn the_limit_of_a_queue_or_a_handler_holds_over_two_workers() {
    for of_queue in [true, false] {
        let mut options = options();
        if of_queue {
            let mut queue = QueueOptions::default();
            queue.limit = Some(1);
            options.queue_options.insert("pulpo".to_owned(), queue);
        } else {
            let mut handler = HandlerOptions::default();
            handler.limit = Some(1);
            options.handlers.insert("act".to_owned(), handler);
        }
        let clock = ManualClock::at("2026-11-23T09:00:00Z".parse().expect("a time"));
        let folder = tempfile::tempdir().expect("a folder");
        let (pulpo, workers) = two_workers(&folder, &options, &clock);
        let keys: Vec<_> = (0..4).map(|number| format!("over all {of_queue} {number}")).collect();
        for key in &keys {
            pulpo.publish(Act::new(key, What::Block)).expect("published");
        }
        for (done, key) in keys.iter().enumerate() {
            until("the next one begins", || {
                // Those in other processes look again now and then.
                clock.advance(Duration::from_millis(1));
                runs(key) == 1
            });
            pulpo.publish(Mail(format!("beside the limit {of_queue} {done}"))).expect("published");
            until("the others are done", || left(&pulpo, "mail") == 0);
            assert_eq!(keys.iter().map(|key| runs(key)).sum::<u32>(), done as u32 + 1);
            free(key);
        }
        until("all are done", || left(&pulpo, "pulpo") == 0);
        assert_eq!(workers.map(Working::stop).iter().map(|summary| summary.done).sum::<u64>(), 4 + 4);
    }
}
