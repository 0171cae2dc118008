//! One or several workers, which come and go.

use std::sync::Arc;

use pulpo::queue::{Inspection as _, MessageState, QueueAdapter};
use pulpo::worker::{HandlerOptions, WorkerOptions};
use pulpo::{Pulpo, Registry};
use pulpo_tests::wait::until;

use crate::jobs::Nightly;
use crate::stage::{DAY, HOUR, MINUTE, Stage};

#[test]
fn a_job_runs_at_its_time_without_being_published() {
    let stage = Stage::new();
    let _worker = stage.work(&["nightly"]);
    stage.pass(15 * HOUR - MINUTE, &["nightly"]);
    stage.assert_ran(&[]);
    stage.pass(MINUTE, &["nightly"]);
    stage.assert_ran(&["nightly 24 03:00"]);
    stage.pass(DAY, &["nightly"]);
    stage.assert_ran(&["nightly 24 03:00", "nightly 25 03:00"]);
    // A published job has no scheduled time.
    let pulpo =
        Pulpo::with_queue(Arc::new(stage.queue.clone()), WorkerOptions::default(), Arc::new(stage.clock.clone()));
    pulpo.publish(Nightly {}).unwrap();
    until("it ran", || stage.runs.all().len() == 3);
    assert_eq!(stage.runs.all()[2], "nightly unasked");
}

#[test]
fn an_occurrence_is_published_once_by_many_workers() {
    let stage = Stage::new();
    let _workers: Vec<_> = (0..4).map(|_| stage.work(&["nightly", "often"])).collect();
    for _ in 0..24 {
        stage.pass(5 * MINUTE, &["often", "nightly"]);
    }
    // A job may run again where the clock jumps past the end of its lease.
    let mut runs = stage.runs.all();
    runs.sort();
    runs.dedup();
    assert_eq!(runs.len(), 24);
    let totals = stage.queue.stats().unwrap().totals;
    assert_eq!((totals[0].published, totals[0].finished), (24, 24));
}

#[test]
fn a_new_entry_does_not_look_back() {
    let stage = Stage::at("2026-11-23T03:00:00Z");
    let _worker = stage.work(&["nightly", "each", "often"]);
    stage.pass(MINUTE, &["nightly", "each", "often"]);
    stage.assert_ran(&[]);
}

#[test]
fn a_worker_that_does_not_work_the_queue_publishes_too() {
    let stage = Stage::at("2026-11-22T03:00:00Z");
    let mut options = WorkerOptions::default();
    options.queues = vec!["elsewhere".to_owned()];
    let _worker = stage.work_with(&["weekly"], options);
    stage.clock.advance(HOUR);
    until("it is published", || !stage.messages().is_empty());
    let [message] = &stage.messages()[..] else { panic!("expected one message") };
    assert_eq!((message.queue.as_str(), message.state), ("weekly", MessageState::Ready));
    let text = String::from_utf8_lossy(&message.text).into_owned();
    assert!(text.contains(r#""scheduled_for":"2026-11-22T04:00:00Z""#), "{text}");
    stage.assert_ran(&[]);
}

#[test]
fn a_job_that_is_unfinished_holds_up_the_next_unless_it_may_overlap() {
    let stage = Stage::new();
    let mut options = WorkerOptions::default();
    // No worker runs the jobs.
    options.queues = vec!["elsewhere".to_owned()];
    let _worker = stage.work_with(&["nightly", "each"], options);
    for _ in 0..3 {
        stage.clock.advance(DAY);
        stage.once_settled("nightly");
        stage.once_settled("each");
    }
    let count = |name: &str| stage.messages().iter().filter(|message| message.request_type == name).count();
    assert_eq!((count("nightly"), count("each")), (1, 3));
    // A buried job does not count.
    let mut consumer = stage.queue.consumer(&["nightly".to_owned(), "each".to_owned()]).unwrap();
    while let Some(taken) = consumer.dequeue(&pulpo::queue::DequeueFilter::all(), std::time::Duration::ZERO).unwrap() {
        consumer.settle(&taken.lease, &mut pulpo::queue::Settlement::bury("broken", true)).unwrap();
    }
    stage.clock.advance(DAY);
    until("the next is published", || count("nightly") == 2);
}

#[test]
fn a_paused_schedule_is_not_published_and_not_caught_up() {
    let stage = Stage::new();
    let worker = stage.work(&["nightly", "each"]);
    stage.schedules().pause_schedule("each", true).unwrap();
    stage.pass(2 * DAY, &["nightly", "each"]);
    stage.assert_ran(&["nightly 25 03:00"]);
    drop(worker);
    stage.pass_alone(2 * DAY);
    stage.schedules().pause_schedule("each", false).unwrap();
    let _worker = stage.work(&["each"]);
    stage.pass(MINUTE, &["each"]);
    stage.assert_ran(&["nightly 25 03:00"]);
    stage.pass(DAY, &["each"]);
    stage.assert_ran(&["each 28 03:00", "nightly 25 03:00"]);
}

#[test]
fn a_schedule_that_is_off_in_a_worker_is_left_to_others() {
    let stage = Stage::new();
    let mut off = HandlerOptions::default();
    off.schedule = Some(false);
    let mut options = WorkerOptions::default();
    options.handlers.insert("each".to_owned(), off);
    let worker = stage.worker(&["nightly", "each"], options);
    let stopper = worker.stopper();
    let thread = std::thread::spawn(move || worker.run().unwrap());
    stage.once_settled("nightly");
    stage.pass(DAY, &["nightly"]);
    stage.assert_ran(&["nightly 24 03:00"]);
    assert!(stage.known().entries.iter().all(|entry| entry.name != "each"));
    let _other = stage.work(&["each"]);
    stage.pass(DAY, &["nightly", "each"]);
    stage.assert_ran(&["each 25 03:00", "nightly 24 03:00", "nightly 25 03:00"]);
    stopper.stop();
    thread.join().unwrap();
}

#[test]
fn a_body_that_cannot_be_made_holds_up_no_other_schedule() {
    let stage = Stage::new();
    let _worker = stage.work(&["failing", "often"]);
    stage.pass(5 * MINUTE, &["often"]);
    stage.pass(5 * MINUTE, &["often"]);
    stage.assert_ran(&["often 23 12:05", "often 23 12:10"]);
}

#[test]
fn a_worker_that_ends_when_all_is_done_has_published_what_was_due() {
    let stage = Stage::new();
    drop(stage.work(&["nightly"]));
    stage.pass_alone(2 * DAY);
    let worker = stage.worker(&["nightly"], WorkerOptions::default());
    let thread = std::thread::spawn(move || worker.drain().unwrap());
    // An idle lane looks again when time has passed.
    until("the worker ends", || {
        stage.clock.advance(std::time::Duration::from_millis(10));
        thread.is_finished()
    });
    stage.assert_ran(&["nightly 25 03:00"]);
}

#[test]
fn a_queue_that_keeps_no_schedules_is_refused() {
    #[derive(Debug)]
    struct Plain(pulpo::queue::file::FileQueue);
    impl QueueAdapter for Plain {
        fn capabilities(&self) -> pulpo::queue::Capabilities {
            pulpo::queue::Capabilities::default()
        }
        fn enqueue(
            &self,
            messages: Vec<pulpo::queue::NewMessage>,
        ) -> Result<Vec<pulpo::queue::Enqueued>, pulpo::queue::QueueError> {
            self.0.enqueue(messages)
        }
        fn consumer(&self, queues: &[String]) -> Result<Box<dyn pulpo::queue::Consumer>, pulpo::queue::QueueError> {
            self.0.consumer(queues)
        }
        fn interrupt(&self) {
            self.0.interrupt();
        }
    }
    impl pulpo::queue::Inspection for Plain {
        fn peek(&self, id: &pulpo::MessageId) -> Result<Option<pulpo::queue::StoredMessage>, pulpo::queue::QueueError> {
            self.0.peek(id)
        }
        fn list(
            &self,
            filter: &pulpo::queue::Filter,
        ) -> Result<Vec<pulpo::queue::StoredMessage>, pulpo::queue::QueueError> {
            self.0.list(filter)
        }
        fn stats(&self) -> Result<pulpo::queue::Stats, pulpo::queue::QueueError> {
            self.0.stats()
        }
        fn kick(&self, filter: &pulpo::queue::Filter) -> Result<u64, pulpo::queue::QueueError> {
            self.0.kick(filter)
        }
        fn delete(&self, filter: &pulpo::queue::Filter) -> Result<u64, pulpo::queue::QueueError> {
            self.0.delete(filter)
        }
    }
    let stage = Stage::new();
    let file = pulpo::queue::file::FileQueue::memory(false, Arc::new(pulpo::clock::SystemClock::new())).unwrap();
    let registry = Registry::of([Registry::collect().unwrap().get("nightly").unwrap()]).unwrap();
    let queue = Arc::new(Plain(file));
    let worker = |options| {
        pulpo::worker::Worker::new(queue.clone(), Registry::of(registry.iter()).unwrap(), options)
            .state(stage.runs.clone())
    };
    let error = worker(WorkerOptions::default()).run().unwrap_err().to_string();
    assert!(error.contains("runs by a schedule, and this queue keeps none"), "{error}");
    assert!(error.contains("schedule_store = \"file:./pulpo-schedules\""), "{error}");
    assert!(error.contains("[handlers.nightly] cron = \"off\""), "{error}");
    let mut off = HandlerOptions::default();
    off.schedule = Some(false);
    let mut options = WorkerOptions::default();
    options.handlers.insert("nightly".to_owned(), off);
    worker(options).drain().unwrap();
}
