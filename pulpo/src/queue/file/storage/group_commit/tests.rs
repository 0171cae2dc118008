use std::sync::mpsc;
use std::task::Wake;
use std::thread;

use super::*;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Stores numbers, one group at a time.
#[derive(Default)]
struct Numbers {
    groups: Arc<Mutex<Vec<Vec<u32>>>>,
    /// Each group signals that it has begun, and waits until it may continue.
    gate: Mutex<Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>>,
}

/// A number; odd ones need no sync, and some cannot be stored.
struct Number(u32);

const PANICS: u32 = 1000;
const REFUSED: u32 = 1001;

impl Storage for Numbers {
    type Request = Number;
    type Error = &'static str;

    fn commit(&self, group: &mut [Number]) -> Vec<Result<(), &'static str>> {
        let gate = lock(&self.gate).take();
        if let Some((began, go)) = gate {
            began.send(()).expect("heard");
            go.recv().expect("told");
        }
        assert!(group.iter().all(|number| number.0 != PANICS), "it panics");
        lock(&self.groups).push(group.iter().map(|number| number.0).collect());
        group.iter().map(|number| if number.0 == REFUSED { Err("refused") } else { Ok(()) }).collect()
    }

    fn wants_sync(request: &Number) -> bool {
        request.0.is_multiple_of(2)
    }

    fn panicked() -> &'static str {
        "panicked"
    }
}

type Group = Arc<GroupCommit<Numbers>>;

/// Returns a group whose committer counts as started: see [`commit_for_tasks`].
fn group() -> Group {
    let group = without_committer();
    assert!(group.committer.is_to_be_started());
    group
}

fn without_committer() -> Group {
    Arc::new(GroupCommit::new(Numbers::default()))
}

/// Holds the next group back. Returns a signal that it has begun, and the means to let it continue.
fn gate(group: &Group) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
    let ((began, has_begun), (go, may_go)) = (mpsc::channel(), mpsc::channel());
    *lock(&group.storage.gate) = Some((began, may_go));
    (has_begun, go)
}

fn spawn(group: &Group, number: u32) -> thread::JoinHandle<Result<(), &'static str>> {
    let group = group.clone();
    thread::spawn(move || group.write(Number(number)))
}

fn wait_for_pending(group: &Group, count: usize) {
    while lock(&group.pending).requests.len() < count {
        thread::yield_now();
    }
}

/// Counts how often it is woken; may panic at that.
#[derive(Default)]
struct Woken(AtomicUsize, bool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        assert!(!self.1, "an executor that panics");
    }
}

/// A task that waits for its number to be stored.
struct Task(Arc<Waiter<&'static str>>, Arc<Woken>);

impl Task {
    fn start(group: &Group, number: u32) -> Self {
        Self::woken_by(group, number, Woken::default())
    }

    fn woken_by(group: &Group, number: u32, woken: Woken) -> Self {
        let task = Self(Arc::default(), Arc::new(woken));
        group.write_for_a_task(Number(number), &task.0);
        task
    }

    fn poll(&self) -> Poll<Result<(), &'static str>> {
        self.0.poll(&Context::from_waker(&self.1.clone().into()))
    }
}

/// Leads as often as it is told to, as the committer does.
fn commit_for_tasks(group: &Group) -> usize {
    let mut led = 0;
    while std::mem::take(&mut lock(&group.committer.state).is_to_lead) {
        group.lead_as_committer();
        led += 1;
    }
    led
}

#[test]
fn waiting_writes_go_into_one_group() {
    let group = group();
    let (has_begun, go) = gate(&group);
    let first = spawn(&group, 1);
    has_begun.recv().expect("begun");
    let others: Vec<_> = (1..8).map(|n| spawn(&group, 2 * n)).collect();
    wait_for_pending(&group, 7);
    go.send(()).expect("heard");
    assert!(others.into_iter().chain([first]).all(|thread| thread.join().expect("no panic") == Ok(())));
    assert_eq!(lock(&group.storage.groups).iter().map(Vec::len).collect::<Vec<_>>(), [1, 7]);
    // The leader now waits for as many, but only briefly, and only once.
    assert_eq!(lock(&group.pending).expected_syncs, 7);
    assert_eq!(group.write(Number(20)), Ok(()));
    assert_eq!(lock(&group.pending).expected_syncs, 1);
}

#[test]
fn a_leader_waits_only_until_as_many_have_come_as_the_last_time() {
    let group = group();
    let submit = |number| group.submit(Number(number), &Arc::default(), true);
    let is_complete = || lock(&group.pending).is_complete();
    lock(&group.pending).expected_syncs = 2;
    submit(2);
    // A request without a sync is no reason to wait, nor to stop waiting.
    submit(1);
    assert!(!is_complete());
    submit(4);
    assert!(is_complete());
}

#[test]
fn each_caller_gets_its_own_result() {
    let group = group();
    let (has_begun, go) = gate(&group);
    let first = spawn(&group, 1);
    has_begun.recv().expect("begun");
    let (refused, kept) = (spawn(&group, REFUSED), spawn(&group, 2));
    wait_for_pending(&group, 2);
    go.send(()).expect("heard");
    let outcomes = [first, refused, kept].map(|thread| thread.join().expect("no panic"));
    assert_eq!(outcomes, [Ok(()), Err("refused"), Ok(())]);
}

#[test]
fn a_leader_that_panics_tells_all_and_hands_over() {
    let group = group();
    let (has_begun, go) = gate(&group);
    let first = spawn(&group, 1);
    has_begun.recv().expect("begun");
    let (bad, in_its_group) = (spawn(&group, PANICS), Task::start(&group, 2));
    wait_for_pending(&group, 2);
    let (has_begun, go_on) = gate(&group);
    go.send(()).expect("heard");
    has_begun.recv().expect("the second group has begun");
    let (next, next_task) = (spawn(&group, 4), Task::start(&group, 6));
    wait_for_pending(&group, 2);
    go_on.send(()).expect("heard");
    assert_eq!(first.join().expect("no panic"), Ok(()));
    assert!(bad.join().is_err(), "it led, and panicked");
    assert_eq!(in_its_group.poll(), Poll::Ready(Err("panicked")));
    assert_eq!(next.join().expect("no panic"), Ok(()));
    assert_eq!(next_task.poll(), Poll::Ready(Ok(())));
    assert!(!lock(&group.pending).has_leader);
}

#[test]
fn a_task_never_leads_and_is_woken() {
    let group = group();
    let tasks: Vec<_> = [2, 4].map(|number| Task::start(&group, number)).into();
    assert!(tasks.iter().all(|task| task.poll().is_pending()));
    assert_eq!(lock(&group.storage.groups).len(), 0);
    assert_eq!(commit_for_tasks(&group), 1);
    assert_eq!(*lock(&group.storage.groups), [[2, 4]]);
    for task in &tasks {
        assert_eq!((task.1.0.load(Ordering::SeqCst), task.poll()), (1, Poll::Ready(Ok(()))));
    }
    // A thread that comes afterwards leads on its own.
    assert_eq!(group.write(Number(6)), Ok(()));
    assert_eq!(commit_for_tasks(&group), 0);
}

#[test]
fn a_thread_commits_for_tasks_and_leaves_the_lead_to_another_thread() {
    let group = group();
    let (has_begun, go) = gate(&group);
    let first = spawn(&group, 1);
    has_begun.recv().expect("begun");
    let (task, second) = (Task::start(&group, 2), spawn(&group, 4));
    wait_for_pending(&group, 2);
    go.send(()).expect("heard");
    assert!([first, second].into_iter().all(|thread| thread.join().expect("no panic") == Ok(())));
    assert_eq!(task.poll(), Poll::Ready(Ok(())));
    assert_eq!(commit_for_tasks(&group), 0, "no other thread was needed");
}

#[test]
fn an_executor_that_panics_keeps_no_thread_from_its_reply() {
    let group = group();
    let bad = Task::woken_by(&group, 2, Woken(AtomicUsize::new(0), true));
    let good = Task::start(&group, 4);
    assert!(bad.poll().is_pending() && good.poll().is_pending());
    commit_for_tasks(&group);
    assert_eq!((bad.poll(), good.poll()), (Poll::Ready(Ok(())), Poll::Ready(Ok(()))));
}

#[test]
fn a_write_that_a_task_has_begun_is_kept_though_the_task_is_dropped() {
    let group = group();
    let task = Task::start(&group, 2);
    assert!(task.poll().is_pending());
    drop(task);
    commit_for_tasks(&group);
    assert_eq!(*lock(&group.storage.groups), [[2]]);
}

#[test]
fn tasks_left_to_a_committer_that_did_not_start_are_written() {
    let group = without_committer();
    let mut task = None;
    let started = group.start_committer(|| {
        // Another task takes the thread for one that is about to run.
        assert!(group.start_committer(|| Ok::<_, &str>(())).is_ok());
        let other = Task::start(&group, 2);
        assert!(other.poll().is_pending());
        task = Some(other);
        Err("no thread")
    });
    assert_eq!(started, Err("no thread"));
    assert_eq!(task.expect("started").poll(), Poll::Ready(Ok(())));
    // It has looked before the failure, and writes after it.
    let late = Task::start(&group, 4);
    assert_eq!(late.poll(), Poll::Ready(Ok(())));
    assert_eq!(group.write(Number(6)), Ok(()));
    // A thread that writes for a task keeps the lead, since no other thread can take it.
    let (has_begun, go) = gate(&group);
    let first = spawn(&group, 1);
    has_begun.recv().expect("begun");
    let task = Task::start(&group, 8);
    go.send(()).expect("heard");
    assert_eq!(first.join().expect("no panic"), Ok(()));
    assert_eq!(task.poll(), Poll::Ready(Ok(())));
    assert_eq!(group.start_committer(|| Ok::<_, &str>(())), Ok(()), "it is tried again");
    assert!(!group.committer.is_to_be_started());
}

#[test]
fn tasks_left_to_the_committer_are_written_before_its_end() {
    let group = group();
    drop(Task::start(&group, 2));
    group.end_committer();
    assert_eq!(*lock(&group.storage.groups), [[2]]);
    let late = Task::start(&group, 4);
    assert_eq!(late.poll(), Poll::Ready(Ok(())));
}

#[test]
fn tasks_that_the_committer_could_not_write_are_written_with_the_drop() {
    let group = group();
    drop(Task::start(&group, 2));
    // Its thread has heard that it is to lead, and finds nothing left to lead.
    assert!(group.committer.wait());
    group.end_committer();
    let written = group.storage.groups.clone();
    drop(group);
    assert_eq!(*lock(&written), [[2]]);
}

#[test]
fn all_get_an_error_where_nobody_can_follow_a_leader_that_panics() {
    let group = without_committer();
    let (has_begun, go) = gate(&group);
    let bad = spawn(&group, PANICS);
    has_begun.recv().expect("begun");
    let task = Task::start(&group, 2);
    go.send(()).expect("heard");
    assert!(bad.join().is_err(), "it led, and panicked");
    assert_eq!(task.poll(), Poll::Ready(Err("panicked")));
    assert_eq!(group.write(Number(4)), Ok(()));
}
