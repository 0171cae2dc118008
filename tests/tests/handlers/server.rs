//! Batches and follow-up jobs on a real server, which ties a reservation to the connection that
//! made it, cannot pick by type, and cannot settle and publish in one step.

use std::sync::Arc;
use std::time::Duration;

use pulpo::Pulpo;
use pulpo::clock::{ManualClock, SystemClock};
use pulpo::queue::beanstalkd::{BeanstalkdOptions, BeanstalkdQueue};
use pulpo::queue::several::Several;
use pulpo::queue::{DequeueFilter, MessageState, NewMessage, QueueAdapter};
use pulpo::worker::WorkerOptions;
use pulpo_tests::beanstalkd::{BeanstalkdServer, Options};
use pulpo_tests::wait::{until, within};

use crate::batches::Between;
use crate::board::Board;
use crate::follow_ups::first_of;
use crate::stage::{SECOND, Stage, reason};

/// Runs a test with a worker of one lane on its own server, which uses the system time.
fn on_a_server(test: impl Fn(Stage)) {
    let server = BeanstalkdServer::start();
    test(stage(at(&server)));
}

fn at(server: &BeanstalkdServer) -> Arc<dyn QueueAdapter> {
    let options = BeanstalkdOptions::new("localhost").port(server.port());
    Arc::new(BeanstalkdQueue::connect(options, Arc::new(SystemClock::new())).expect("a connection"))
}

fn stage(queue: Arc<dyn QueueAdapter>) -> Stage {
    let mut options = WorkerOptions::default();
    options.concurrency = 1;
    options.handle_signals = false;
    let pulpo = Pulpo::with_queue(queue.clone(), options, Arc::new(SystemClock::new()));
    let still = ManualClock::at("2026-11-23T09:00:00Z".parse().expect("a time"));
    Stage { clock: still, queue, pulpo, board: Board::default(), folder: None }
}

#[test]
fn each_message_of_a_batch_is_settled_on_its_own() {
    on_a_server(|stage| {
        let [good, transient, fatal] = stage.lines(["a", "fail", "fatal"]);
        let working = stage.work();
        let buried = stage.once(&fatal, MessageState::Buried);
        assert_eq!(reason(&buried), "no good");
        let delayed = stage.once(&transient, MessageState::Delayed);
        assert_eq!(delayed.attempts, 1);
        until("the good one is done", || stage.peek(&good).is_none());
        let summary = working.stop();
        assert_eq!((summary.done, summary.retried, summary.buried), (1, 1, 1));
    });
}

#[test]
fn an_incomplete_batch_runs_when_the_linger_is_over() {
    on_a_server(|stage| {
        let ids = stage.lines(["a", "b"]);
        let working = stage.work();
        stage.once_told("got a b");
        until("both are done", || ids.iter().all(|id| stage.peek(id).is_none()));
        assert_eq!(working.stop().done, 2);
    });
}

/// The restarted server hands the message out again: the batch that had it must not run it too, whether the batch still
/// gathers by then or not, and whether its lane or another one notices first that the server is away.
#[test]
fn a_message_whose_server_restarts_while_its_batch_gathers_runs_once() {
    let cases = [(1, SECOND / 10, false), (2, SECOND / 10, false), (2, 3 * SECOND, false), (2, 3 * SECOND, true)];
    for (count, is_away_for, another_notices) in cases {
        let folders: Vec<_> = (0..count).map(|_| tempfile::tempdir().expect("a folder")).collect();
        let mut servers: Vec<_> = folders.iter().map(|folder| Options::new().binlog(folder.path()).start()).collect();
        let queue = match &*servers {
            [one] => at(one),
            all => Arc::new(Several::new(all.iter().map(|one| (one.port().to_string(), at(one))).collect())),
        };
        let stage = stage(queue);
        let [id] = stage.lines(["a"]);
        let working = stage.work();
        stage.once(&id, MessageState::Reserved);
        let its = |server: &&mut BeanstalkdServer| count == 1 || id.as_str().starts_with(&server.port().to_string());
        let server = servers.iter_mut().find(its).expect("its server");
        let mut another = stage.queue.consumer(&["pulpo".to_owned()]).expect("a consumer");
        server.kill();
        if another_notices {
            assert!(another.dequeue(&DequeueFilter::all(), Duration::ZERO).is_ok_and(|taken| taken.is_none()));
        }
        drop(another);
        let _ = within(is_away_for, || !stage.board.lines().is_empty());
        server.restart();
        until("it runs", || !stage.board.lines().is_empty());
        // The first call may still use a connection to the killed server.
        until("it is done", || stage.queue.peek(&id).is_ok_and(|message| message.is_none()));
        let summary = working.stop();
        assert_eq!((summary.done, summary.lost_leases), (1, 0), "{:?}", stage.board.lines());
        assert_eq!(stage.board.lines(), ["got a"], "{count} servers, one away for {is_away_for:?}");
    }
}

#[test]
fn a_body_that_does_not_fit_is_buried_alone() {
    on_a_server(|stage| {
        let [first] = stage.lines(["a"]);
        let text = r#"{"header":{"request_type":"line"},"body":{"text":7}}"#;
        let bad = stage.queue.enqueue(vec![NewMessage::new("pulpo", "line", text)]).expect("published").remove(0).id;
        let [last] = stage.lines(["c"]);
        let working = stage.work();
        stage.once_told("got a c");
        let buried = stage.once(&bad, MessageState::Buried);
        assert!(reason(&buried).starts_with("body.text: invalid type: integer"), "{}", reason(&buried));
        until("its neighbours are done", || stage.peek(&first).is_none() && stage.peek(&last).is_none());
        working.stop();
    });
}

#[test]
fn the_next_of_another_type_ends_the_gathering_and_has_its_turn() {
    on_a_server(|stage| {
        stage.lines(["a", "b"]);
        stage.publish(Between);
        stage.lines(["c", "d", "e"]);
        let working = stage.work();
        stage.once_told("got c d e");
        assert_eq!(stage.board.lines(), ["got a b", "between", "got c d e"]);
        assert_eq!(working.stop().done, 6);
    });
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Lasting;

#[pulpo::handler("lasting")]
fn lasting(_: Lasting, board: pulpo::State<Board>) {
    board.write("it lasts");
    board.wait("the end");
}

#[test]
fn a_batch_is_done_before_the_one_that_ended_its_gathering_runs() {
    on_a_server(|stage| {
        let ids = stage.lines(["a", "b"]);
        stage.publish(Lasting);
        let working = stage.work();
        stage.once_told("it lasts");
        let left: Vec<_> = ids.iter().filter_map(|id| stage.peek(id)).collect();
        stage.board.open("the end");
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(working.stop().done, 3);
    });
}

#[test]
fn a_stop_gives_all_of_a_batch_back_uncounted() {
    on_a_server(|stage| {
        let ids = stage.lines(["a", "all wait", "c"]);
        let working = stage.work();
        stage.once_told("got a all wait c");
        working.stopper.stop_at_once();
        assert_eq!(working.thread.join().expect("no panic").released, 3);
        for id in &ids {
            stage.once(id, MessageState::Ready);
        }
        let mut consumer = stage.queue.consumer(&["pulpo".to_owned()]).expect("a consumer");
        for _ in &ids {
            let again = consumer.dequeue(&DequeueFilter::all(), SECOND).expect("dequeue").expect("a message");
            assert_eq!(again.failed(2), 0, "{again:?}");
        }
        stage.board.open("lines");
    });
}

#[test]
fn follow_ups_wait_for_the_end_of_the_run_and_go_out_once() {
    on_a_server(|stage| {
        let id = stage.publish(first_of("one", false));
        let working = stage.work();
        stage.once_told("published");
        assert!(stage.all("next").is_empty());
        stage.board.open("first");
        stage.once_told("next one");
        until("the first one is done", || stage.peek(&id).is_none() && stage.all("next").len() == 1);
        let [later] = &*stage.all("next") else { panic!("one is delayed") };
        assert_eq!((later.state, later.priority.get()), (MessageState::Delayed, 3));
        let summary = working.stop();
        assert_eq!((summary.done, summary.retried), (2, 0));
    });
}

#[test]
fn follow_ups_of_a_failed_run_are_dropped() {
    on_a_server(|stage| {
        let id = stage.publish(first_of("one", true));
        stage.board.open("first");
        let working = stage.work();
        let delayed = stage.once(&id, MessageState::Delayed);
        assert_eq!(delayed.attempts, 1);
        assert!(stage.all("next").is_empty());
        working.stop();
    });
}

#[test]
fn follow_ups_of_a_batch_go_out_once() {
    on_a_server(|stage| {
        stage.lines(["fatal", "all follow", "c"]);
        let working = stage.work();
        stage.once_told("told 3 lines first of 1");
        working.stop();
        assert_eq!(stage.board.lines(), ["got fatal all follow c", "told 3 lines first of 1"]);
        assert!(stage.queue.list(&pulpo::queue::Filter::all().request_type("told")).expect("a list").is_empty());
    });
}
