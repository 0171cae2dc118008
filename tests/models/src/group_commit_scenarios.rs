//! The group commit: threads and tasks that write, and leaders that panic.

use std::collections::BTreeSet;
use std::task::{Context, Poll, Wake};

use shuttle::thread;

use super::group_commit::{GroupCommit, Storage, Waiter};
use crate::guard::catch;
use crate::sync::{Arc, Condvar, Mutex, lock, wait_while};

/// Stores numbers. The first group that contains `panics_at` panics.
#[derive(Default)]
struct Numbers {
    kept: Mutex<BTreeSet<u32>>,
    panics_at: Mutex<Option<u32>>,
}

impl Storage for Numbers {
    type Request = u32;
    type Error = &'static str;

    fn commit(&self, group: &mut [u32]) -> Vec<Result<(), &'static str>> {
        // The disk takes time, so other writers arrive.
        thread::yield_now();
        let bad = lock(&self.panics_at).take_if(|bad| group.contains(bad));
        assert!(bad.is_none(), "a panic in the storage");
        let mut kept = lock(&self.kept);
        group.iter().for_each(|number| assert!(kept.insert(*number), "{number} is written twice"));
        vec![Ok(()); group.len()]
    }

    fn wants_sync(request: &u32) -> bool {
        !request.is_multiple_of(3)
    }

    fn panicked() -> &'static str {
        "its leader panicked"
    }
}

type Group = Arc<GroupCommit<Numbers>>;

/// Checks the result that a writer received: its number is stored if Ok, and otherwise not.
fn assert_told_the_truth(group: &Group, number: u32, told: Result<(), &str>) {
    assert_eq!(lock(&group.storage.kept).contains(&number), told.is_ok(), "{number} was told {told:?}");
}

fn write(group: &Group, number: u32) {
    match catch(|| group.write(number)) {
        Ok(told) => assert_told_the_truth(group, number, told),
        // This writer was the leader, and its storage panicked.
        Err(_) => assert!(!lock(&group.storage.kept).contains(&number)),
    }
}

/// Wakes the thread that stands for a task's executor.
#[derive(Default)]
struct Woken(Mutex<bool>, Condvar);

impl Wake for Woken {
    fn wake(self: std::sync::Arc<Self>) {
        *lock(&self.0) = true;
        self.1.notify_one();
    }
}

/// Waits as a task does; a task that is dropped polls once.
fn write_as_a_task(group: &Group, number: u32, is_dropped: bool) {
    let (waiter, woken) = (Arc::new(Waiter::default()), std::sync::Arc::new(Woken::default()));
    group.write_for_a_task(number, &waiter);
    let waker = woken.clone().into();
    loop {
        match waiter.poll(&Context::from_waker(&waker)) {
            Poll::Ready(told) => return assert_told_the_truth(group, number, told),
            Poll::Pending if is_dropped => return,
            Poll::Pending => *wait_while(&woken.1, lock(&woken.0), |woken| !*woken) = false,
        }
    }
}

/// Starts the thread that leads for tasks.
fn commit_for_tasks(group: &Group) -> thread::JoinHandle<()> {
    let mut committer = None;
    let spawn = || {
        committer = Some(spawn_committer(group));
        Ok::<_, std::convert::Infallible>(())
    };
    let Ok(()) = group.start_committer(spawn);
    committer.expect("it is the first")
}

fn spawn_committer(group: &Group) -> thread::JoinHandle<()> {
    let group = group.clone();
    thread::spawn(move || {
        while group.committer.wait() {
            group.lead_as_committer();
        }
    })
}

fn run(threads: u32, tasks: u32, panics_at: Option<u32>) {
    let numbers = Numbers { panics_at: Mutex::new(panics_at), ..Numbers::default() };
    let group = Arc::new(GroupCommit::new(numbers));
    let committer = commit_for_tasks(&group);
    let mut writers = Vec::new();
    for writer in 0..threads + tasks {
        let group = group.clone();
        writers.push(thread::spawn(move || {
            for number in [10 * writer, 10 * writer + 1] {
                if writer < threads { write(&group, number) } else { write_as_a_task(&group, number, false) }
            }
        }));
    }
    writers.into_iter().for_each(|writer| writer.join().expect("it was told the truth"));
    // Later writers are served too.
    write(&group, 1000);
    assert!(lock(&group.storage.kept).contains(&1000));
    group.end_committer();
    committer.join().expect("no panic");
}

/// Each writer receives a result, and the correct one.
pub fn everybody_is_notified() {
    run(3, 0, None);
}

/// Tasks, which never lead, receive their results too.
pub fn tasks_are_notified_too() {
    run(1, 2, None);
}

/// A leader whose storage panics sends its group an error, and hands over.
pub fn a_leader_that_panics_strands_no_thread() {
    run(2, 1, Some(10));
}

/// The thread that leads for tasks panics; every waiter still gets a reply.
pub fn a_committer_that_panics_strands_no_thread() {
    run(0, 3, Some(20));
}

/// A write that a task has begun is completed even if no task waits for it any more.
pub fn a_task_that_is_dropped_strands_no_thread() {
    let group = Arc::new(GroupCommit::new(Numbers::default()));
    let committer = commit_for_tasks(&group);
    let others: Vec<_> = [1_u32, 2]
        .map(|number| {
            let group = group.clone();
            thread::spawn(move || write(&group, number))
        })
        .into();
    write_as_a_task(&group, 7, true);
    others.into_iter().for_each(|other| other.join().expect("told the truth"));
    write_as_a_task(&group, 8, false);
    assert_eq!(lock(&group.storage.kept).iter().copied().collect::<Vec<_>>(), [1, 2, 7, 8]);
    group.end_committer();
    committer.join().expect("no panic");
}

/// Tasks find that no thread can be started for them, at the same time as other threads write. Those that were not told
/// so get their replies.
pub fn a_committer_that_does_not_start_strands_no_thread() {
    let group = Arc::new(GroupCommit::new(Numbers::default()));
    let failures = Arc::new(Mutex::new(2));
    let committers = Arc::new(Mutex::new(Vec::new()));
    let mut writers = Vec::new();
    for writer in 0..3_u32 {
        let (group, failures, committers) = (group.clone(), failures.clone(), committers.clone());
        writers.push(thread::spawn(move || {
            for number in [10 * writer + 1, 10 * writer + 2] {
                let started = group.start_committer(|| {
                    thread::yield_now();
                    let mut failures = lock(&failures);
                    if *failures > 0 {
                        *failures -= 1;
                        return Err("no thread");
                    }
                    lock(&committers).push(spawn_committer(&group));
                    Ok(())
                });
                if started.is_ok() {
                    write_as_a_task(&group, number, false);
                }
                write(&group, number + 100);
            }
        }));
    }
    writers.into_iter().for_each(|writer| writer.join().expect("it was told the truth"));
    write(&group, 1000);
    group.end_committer();
    let committers = std::mem::take(&mut *lock(&committers));
    committers.into_iter().for_each(|committer| committer.join().expect("no panic"));
}

/// A write that a dropped task has begun is made when the writer is dropped immediately afterwards.
pub fn a_writer_that_is_dropped_loses_nothing() {
    let group = Arc::new(GroupCommit::new(Numbers::default()));
    let committer = commit_for_tasks(&group);
    let other = {
        let group = group.clone();
        thread::spawn(move || write_as_a_task(&group, 1, true))
    };
    write_as_a_task(&group, 2, true);
    other.join().expect("told the truth");
    group.end_committer();
    committer.join().expect("no panic");
    assert_eq!(lock(&group.storage.kept).iter().copied().collect::<Vec<_>>(), [1, 2]);
}
