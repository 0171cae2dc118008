//! A queue that refuses the jobs of one schedule.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pulpo::Registry;
use pulpo::queue::file::FileQueue;
use pulpo::queue::{
    Capabilities, Consumer, Enqueued, NewMessage, QueueAdapter, QueueError, ScheduleStep, ScheduleStore, Schedules,
    Stepped,
};
use pulpo::worker::{Worker, WorkerOptions};
use pulpo_tests::wait::until;

use crate::stage::{DAY, HOUR, MINUTE, Stage};

/// Takes no job of these schedules.
#[derive(Clone, Debug)]
struct Refusing {
    queue: FileQueue,
    refused: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl QueueAdapter for Refusing {
    fn capabilities(&self) -> Capabilities {
        self.queue.capabilities()
    }
    fn enqueue(&self, messages: Vec<NewMessage>) -> Result<Vec<Enqueued>, QueueError> {
        self.queue.enqueue(messages)
    }
    fn consumer(&self, queues: &[String]) -> Result<Box<dyn Consumer>, QueueError> {
        self.queue.consumer(queues)
    }
    fn schedules(&self) -> Option<&dyn ScheduleStore> {
        Some(self)
    }
    fn interrupt(&self) {
        self.queue.interrupt();
    }
}

impl ScheduleStore for Refusing {
    fn read_schedules(&self) -> Result<Schedules, QueueError> {
        self.queue.read_schedules()
    }
    fn step_schedule(&self, step: &ScheduleStep) -> Result<Stepped, QueueError> {
        if !step.occurrences.is_empty() && self.refused.lock().unwrap().contains(step.name.as_str()) {
            let doing = format!("publish {}", step.name);
            return Err(QueueError::Rejected { doing, source: "it is too large".into() });
        }
        self.queue.step_schedule(step)
    }
    fn pause_schedule(&self, name: &str, paused: bool) -> Result<bool, QueueError> {
        self.queue.pause_schedule(name, paused)
    }
    fn forget_schedules(&self, unattended_for: Duration) -> Result<u64, QueueError> {
        self.queue.forget_schedules(unattended_for)
    }
}

pulpo_tests::inspect_through!(Refusing, queue);

#[test]
fn an_entry_that_is_refused_holds_up_no_other() {
    let stage = Stage::new();
    let queue = Refusing { queue: stage.queue.clone(), refused: Arc::default() };
    let handlers = ["each", "nightly", "often", "weekly"];
    let all = Registry::collect().unwrap();
    let registry = Registry::of(handlers.iter().map(|name| all.get(name).unwrap())).unwrap();
    let mut options = WorkerOptions::default();
    options.handle_signals = false;
    options.concurrency = 2;
    let worker = Worker::with_clock(Arc::new(queue.clone()), registry, options, Arc::new(stage.clock.clone()));
    let worker = worker.state(stage.runs.clone());
    let stopper = worker.stopper();
    let thread = std::thread::spawn(move || worker.run().unwrap());
    handlers.iter().for_each(|name| stage.once_settled(name));

    // The first and one in the middle, of which each job is due.
    queue.refused.lock().unwrap().extend(["each", "nightly"]);
    stage.pass(15 * HOUR, &["often", "weekly"]);
    stage.pass(5 * MINUTE, &["often", "weekly"]);
    stage.assert_ran(&["often 24 03:00", "often 24 03:05"]);
    // They stay due, and run when they are taken.
    queue.refused.lock().unwrap().clear();
    until("they run", || {
        // Not while a job runs, whose lease would end.
        if stage.messages().is_empty() {
            stage.clock.advance(Duration::from_secs(1));
        }
        stage.runs.all().iter().any(|run| run == "nightly 24 03:00")
            && stage.runs.all().iter().any(|run| run == "each 24 03:00")
    });
    stage.pass(DAY / 2, &handlers);
    let nights = stage.runs.all().into_iter().filter(|run| !run.starts_with("often")).count();
    assert_eq!(nights, 2, "{:?}", stage.runs.all());
    stopper.stop();
    thread.join().unwrap();
}
