//! What `stats` counts, and what it does not keep waiting.

use super::*;

#[test]
fn overdue_messages_are_counted_however_many_there_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = at_nine();
    let queue = open(folder.path(), &clock);
    let publish = |request_type: &str, count: usize, minutes: i64| {
        let mut message = new("a", request_type);
        message.delay = Some(clock.now() + TimeDelta::minutes(minutes));
        queue.enqueue(vec![message; count]).expect("published");
    };
    publish("few", 3, 1);
    publish("many", 3000, 2);
    publish("later", 7, 3);
    publish("later", 10, 60);
    let first = clock.now() + TimeDelta::minutes(1);
    let stats = |minutes: u64| {
        clock.advance(Duration::from_secs(60 * minutes));
        let of = |counts: &crate::queue::Counts| (counts.request_type.clone(), counts.ready, counts.delayed);
        let stats = queue.stats().expect("counted");
        let oldest = stats.counts.iter().filter_map(|counts| counts.oldest_ready).min();
        (stats.counts.iter().map(of).collect::<Vec<_>>(), oldest)
    };
    let (few, many, later) = ("few".to_owned(), "many".to_owned(), "later".to_owned());
    let kinds = |ready: [u64; 3], delayed: [u64; 3]| {
        vec![
            (few.clone(), ready[0], delayed[0]),
            (later.clone(), ready[1], delayed[1]),
            (many.clone(), ready[2], delayed[2]),
        ]
    };
    assert_eq!(stats(1), (kinds([3, 0, 0], [0, 17, 3000]), Some(first)));
    assert_eq!(stats(2), (kinds([3, 7, 3000], [0, 10, 0]), Some(first)));
    // More than it counts one by one on each side.
    publish("later", 25_000, 60);
    assert_eq!(stats(0), (kinds([3, 7, 3000], [0, 25_010, 0]), Some(first)));
    assert_eq!(stats(60), (kinds([3, 25_017, 3000], [0, 0, 0]), Some(first)));
    assert_counted(&queue);
}

#[test]
fn a_long_list_holds_up_no_lane() {
    let folder = tempfile::tempdir().expect("a folder");
    let queue = open(folder.path(), &at_nine());
    queue.stats().expect("counted");
    let (began, has_begun) = std::sync::mpsc::channel();
    let (go, may_go) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let queue = &queue;
        scope.spawn(move || {
            let waits = move |_: &Connection| {
                began.send(()).expect("heard");
                may_go.recv().expect("told");
                Ok(())
            };
            queue.0.inspect(waits).expect("read");
        });
        has_begun.recv().expect("begun");
        assert!(matches!(fetch(queue, "nothing", true), Found::Nothing(_)));
        go.send(()).expect("heard");
    });
}
