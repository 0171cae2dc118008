//! Many messages at once: each is treated by its own state, and no transaction takes long.

use std::time::Instant;

use super::*;

#[test]
fn each_message_of_a_batch_has_its_own_id_and_all_that_belongs_to_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = at_nine();
    let queue = open(folder.path(), &clock);
    queue.enqueue(vec![new("b", "before"); 3]).expect("published");
    let text =
        |n: usize| format!("{{\"n\": {n}, \"x\": \"{}\"}}", "y".repeat(if n.is_multiple_of(7) { 2000 } else { 10 }));
    let message = |n: usize| {
        // Long runs of one kind, short ones, and messages that must be looked up in between.
        let request_type = if n < 40 { "one" } else { ["one", "two"][n / 5 % 2] };
        let mut message = NewMessage::new("a", request_type, text(n));
        message.priority = crate::message::Priority::new(n as u32);
        message.delay = n.is_multiple_of(11).then(|| clock.now() + TimeDelta::minutes(n as i64 + 1));
        message.ttr = Duration::from_secs(100 + n as u64);
        if n % 50 == 49 { message.unique(crate::keys::Unique::new(format!("key {n}"))) } else { message }
    };
    let messages: Vec<_> = (0..130).map(message).collect();
    let enqueued = queue.enqueue(messages.clone()).expect("published");
    assert_eq!(enqueued.len(), messages.len());
    for (n, (enqueued, message)) in enqueued.iter().zip(&messages).enumerate() {
        assert_eq!(enqueued.id.as_str(), (n + 4).to_string());
        let stored = queue.peek(&enqueued.id).expect("the queue answers").expect("there");
        assert_eq!(String::from_utf8_lossy(&stored.text), message.text);
        assert_eq!((stored.request_type, stored.priority), (message.request_type.clone(), message.priority));
        let state = if message.delay.is_some() { MessageState::Delayed } else { MessageState::Ready };
        assert_eq!(stored.state, state, "{n}");
    }
    assert_counted(&queue);
    let published: i64 = one(&queue, "SELECT sum(published_now) FROM kind");
    assert_eq!(published, 133);
}

#[test]
fn messages_that_are_leased_and_committed_together_are_treated_each_by_its_own_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = at_nine();
    let queue = FileQueue::open(folder.path(), false, Arc::new(clock.clone())).expect("a queue");
    let message = |n: usize| {
        let text = format!("{{\"n\": {n}, \"x\": \"{}\"}}", "y".repeat(if n == 70 { 2000 } else { 10 }));
        NewMessage::new("a", if n < 60 { "one" } else { "two" }, text)
    };
    queue.enqueue((0..100).map(message).collect()).expect("published");
    // A gap in the ids, and a message that failed before.
    queue.delete(&Filter::all().id("11".into())).expect("deleted");
    let mut consumer = queue.consumer(&["a".to_owned()]).expect("a consumer");
    let first = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("a message").lease;
    consumer.settle(&first, &mut Settlement::rollback(Duration::ZERO, "again", true)).expect("put back");

    let leased = lease_together(&queue, "a", 90);
    let ids: Vec<_> = leased.iter().map(|one| one.delivery.lease.id.as_str().to_owned()).collect();
    let expected: Vec<_> = (1..=91).filter(|id| *id != 11).map(|id: u64| id.to_string()).collect();
    assert_eq!(ids, expected);
    for one in &leased {
        let n: u64 = one.delivery.lease.id.as_str().parse::<u64>().expect("a number") - 1;
        assert_eq!(&*one.request_type, if n < 60 { "one" } else { "two" });
        assert!(String::from_utf8_lossy(&one.delivery.text).starts_with(&format!("{{\"n\": {n},")));
    }
    assert_counted(&queue);

    // One is cancelled, and one lease is lost; two are still running.
    queue.cancel(&Filter::all().id("20".into())).expect("cancelled");
    queue
        .0
        .prefetch
        .release(&queue.0, &["a".to_owned()].into(), vec![leased[29].delivery.lease.clone()])
        .expect("back");
    let (mut finished, mut running) = (Vec::new(), Vec::new());
    for one in leased {
        let is_running = ["50", "80"].contains(&one.delivery.lease.id.as_str());
        if is_running { running.push(one) } else { finished.push(one) }
    }
    // In the order in which lanes finish them.
    finished.reverse();
    for (one, committed) in finished.iter().zip(commit_together(&queue, &finished)) {
        let id = one.delivery.lease.id.as_str();
        assert_eq!(committed, !["20", "31"].contains(&id), "{id}");
    }
    let list = queue.list(&Filter::all()).expect("a list");
    let left = |state| {
        let of_state = list.iter().filter(|message| message.state == state);
        of_state.map(|message| message.id.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(left(MessageState::Buried), ["20"]);
    assert_eq!(left(MessageState::Reserved), ["80", "50"]);
    assert_eq!(left(MessageState::Ready), ["100", "99", "98", "97", "96", "95", "94", "93", "92", "31"]);
    assert_eq!(one::<i64>(&queue, "SELECT count(*) FROM attempt WHERE message = 1"), 0, "its runs are forgotten");
    assert_eq!(one::<i64>(&queue, "SELECT sum(done_now) FROM kind"), 86);
    assert_counted(&queue);
    assert_eq!(commit_together(&queue, &finished[..10]), [false; 10], "none is done twice");
}

#[test]
fn many_that_fall_due_at_once_take_many_short_transactions() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = at_nine();
    let queue = open(folder.path(), &clock);
    for _ in 0..5 {
        let mut message = new("a", "job");
        message.delay = Some(clock.now() + TimeDelta::seconds(1));
        queue.enqueue(vec![message; 1000]).expect("published");
    }
    clock.advance(Duration::from_secs(2));
    assert_eq!(queue.stats().expect("counted").counts[0].ready, 5000, "they are seen as ready");
    // One check, for another queue, moves five hundred, and reports that another check should follow at once.
    let checks = std::iter::from_fn(|| {
        let Found::Nothing(nothing) = fetch(&queue, "elsewhere", false) else { panic!("there is nothing elsewhere") };
        nothing.next.filter(|next| *next <= clock.now())
    });
    assert_eq!(checks.count(), 9);
    assert_eq!(one::<i64>(&queue, "SELECT count(*) FROM message WHERE state = 0"), 5000);
    assert_counted(&queue);
    // Waiting consumers get them in order.
    let mut consumer = queue.consumer(&["a".to_owned()]).expect("a consumer");
    assert_eq!(
        consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("a message").lease.id,
        "1"
    );
}

#[test]
fn an_urgent_message_waits_for_no_lane_while_many_are_overdue() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = at_nine();
    let queue = open(folder.path(), &clock);
    let due_in = |seconds| {
        let mut message = new("a", "job");
        message.delay = Some(clock.now() + TimeDelta::seconds(seconds));
        message
    };
    queue.enqueue(vec![due_in(1); 3000]).expect("published");
    let urgent = NewMessage { priority: crate::message::Priority::MOST_URGENT, ..due_in(2) };
    let urgent = queue.enqueue(vec![urgent]).expect("published").remove(0).id;
    clock.advance(Duration::from_secs(3));
    // A lane takes one message, and its job lasts long.
    let mut lane = queue.consumer(&["a".to_owned()]).expect("a consumer");
    lane.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("a message");
    let end = Instant::now() + Duration::from_secs(120);
    while one::<i64>(&queue, "SELECT count(*) FROM message WHERE due IS NOT NULL") > 0 {
        assert!(Instant::now() < end, "they stay delayed");
        std::thread::park_timeout(Duration::from_millis(1));
    }
    assert_counted(&queue);
    let mut other = open(folder.path(), &clock).consumer(&["a".to_owned()]).expect("a consumer");
    let next = other.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("a message");
    assert_eq!(next.lease.id, urgent);
}

#[test]
fn many_that_are_kicked_or_deleted_take_many_short_transactions() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = at_nine();
    let queue = open(folder.path(), &clock);
    queue.enqueue(vec![new("a", "job"); 3500]).expect("published");
    let statement = "UPDATE message SET state = 3; UPDATE kind SET ready = 0, buried = 3500";
    queue.0.writer.write(Durability::Lazy, |connection| connection.execute_batch(statement)).expect("written");
    let commits = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    queue.0.count_commits(&commits);
    let took = |run: &dyn Fn() -> u64| {
        commits.store(0, Ordering::SeqCst);
        (run(), commits.load(Ordering::SeqCst))
    };
    assert_eq!(took(&|| queue.kick(&Filter::all().limit(1200)).expect("kicked")), (1200, 2));
    // The newest messages.
    assert_eq!(one::<i64>(&queue, "SELECT min(id) FROM message WHERE state = 0"), 2301);
    assert_eq!(took(&|| queue.kick(&Filter::all()).expect("kicked")), (2300, 3));
    assert_counted(&queue);
    assert_eq!(took(&|| queue.delete(&Filter::all()).expect("deleted")), (3500, 4));
    assert_counted(&queue);
}

#[test]
fn the_leases_of_a_dead_process_end_in_parts_and_so_do_those_that_last_too_long() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = at_nine();
    let queue = open(folder.path(), &clock);
    queue.enqueue(vec![new("a", "job"); 2500]).expect("published");
    let _consumer = queue.consumer(&["a".to_owned()]).expect("a consumer");
    assert!(matches!(fetch(&queue, "nothing", false), Found::Nothing(_)));
    // A lease of another process, which ends in a hundred years.
    let statement = "UPDATE message SET state = 2, lease = '00000000000000ff-1', lease_ends = 4000000000000000;
        UPDATE kind SET ready = 0";
    queue.0.writer.write(Durability::Lazy, |connection| connection.execute_batch(statement)).expect("written");
    let too_long = || one::<i64>(&queue, "SELECT count(*) FROM message WHERE lease_ends = 4000000000000000");
    clock.jump(TimeDelta::hours(-1));
    let left = std::iter::from_fn(|| {
        assert!(matches!(fetch(&queue, "nothing", false), Found::Nothing(_)));
        Some(too_long())
    });
    assert_eq!(left.take(4).collect::<Vec<_>>(), [1500, 500, 0, 0]);
    let commits = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    queue.0.count_commits(&commits);
    std::fs::write(folder.path().join("workers/00000000000000ff"), "").expect("written");
    queue.0.end_leases_of_the_dead();
    // The thread beside the lanes may have been faster.
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while one::<i64>(&queue, "SELECT count(*) FROM message WHERE state = 0") < 2500 {
        assert!(std::time::Instant::now() < end, "timed out");
        std::thread::yield_now();
    }
    assert!(commits.load(Ordering::SeqCst) >= 3);
    assert_counted(&queue);
}
