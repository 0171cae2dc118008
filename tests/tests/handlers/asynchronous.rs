//! `async fn` handlers, mixed with plain ones, and publishing from async code.

use std::time::Duration;

use pulpo::queue::MessageState;
use pulpo::{Context, State};
use serde::{Deserialize, Serialize};

use crate::board::Board;
use crate::stage::{SECOND, on, on_each, reason};

#[derive(Serialize, Deserialize)]
struct Fetch {
    text: String,
}

#[derive(Serialize, Deserialize)]
struct Fetched(String);

#[pulpo::handler("fetch", max_attempts = 3, backoff = "10s")]
async fn fetch(fetch: Fetch, context: &Context, board: State<Board>) -> Result<(), std::io::Error> {
    let thread = std::thread::current().id();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(thread, std::thread::current().id(), "it stays in its lane");
    let helper = tokio::spawn(async { std::thread::current().name().map(str::to_owned) });
    let helper = helper.await.expect("no panic").expect("a name");
    board.write(format!("{} by {helper}, attempt {}", fetch.text, context.attempt()));
    match &*fetch.text {
        "fail" => return Err(std::io::Error::other("no luck")),
        "panic" => panic!("out of cheese"),
        _ => {}
    }
    context.publish(Fetched(fetch.text)).map_err(std::io::Error::other)?;
    Ok(())
}

#[pulpo::handler("fetched")]
fn fetched(Fetched(text): Fetched, board: State<Board>) {
    board.write(format!("fetched {text}"));
}

#[derive(Serialize, Deserialize)]
struct Hang;

struct OnDrop(State<Board>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.write("dropped");
    }
}

#[pulpo::handler("hang", timeout = "30s")]
async fn hang(_: Hang, board: State<Board>) {
    board.write("hangs");
    let _guard = OnDrop(board);
    std::future::pending().await
}

#[derive(Serialize, Deserialize)]
struct Forever;

#[pulpo::handler("forever")]
async fn forever(_: Forever) -> ! {
    std::future::pending().await
}

#[derive(Serialize, Deserialize)]
struct Unnamed;

#[pulpo::handler("unnamed")]
async fn unnamed(_: Unnamed) -> impl pulpo::IntoOutcome {}

#[test]
fn they_run_beside_plain_ones() {
    on_each(|stage| {
        stage.publish(Unnamed);
        stage.publish(Fetch { text: "a".into() });
        let working = stage.work();
        stage.once_told("fetched a");
        assert_eq!(stage.board.lines(), ["a by pulpo-async, attempt 1", "fetched a"]);
        assert_eq!(working.stop().done, 3);
    });
}

#[test]
fn they_fail_and_panic_as_others_do() {
    on_each(|stage| {
        let failing = stage.publish(Fetch { text: "fail".into() });
        let panicking = stage.publish(Fetch { text: "panic".into() });
        let working = stage.work();
        assert_eq!(reason(&stage.once(&failing, MessageState::Delayed)), "no luck");
        assert_eq!(reason(&stage.once(&panicking, MessageState::Delayed)), "panicked: out of cheese");
        stage.clock.advance(10 * SECOND);
        stage.once_told("panic by pulpo-async, attempt 2");
        working.stop();
    });
}

#[test]
fn a_timeout_drops_the_future_and_frees_the_lane() {
    on_each(|stage| {
        let id = stage.publish(Hang);
        let working = stage.work();
        stage.once_told("hangs");
        stage.clock.advance(30 * SECOND);
        stage.once_told("dropped");
        assert_eq!(reason(&stage.once(&id, MessageState::Delayed)), "timed out after 30s");
        stage.publish(Fetch { text: "next".into() });
        stage.once_told("fetched next");
        let summary = working.stop();
        assert_eq!((summary.done, summary.retried), (2, 1));
    });
}

#[test]
fn the_end_of_the_grace_drops_the_future() {
    on_each(|stage| {
        let id = stage.publish(Hang);
        let working = stage.work();
        stage.once_told("hangs");
        working.stopper.stop_at_once();
        assert_eq!(working.thread.join().expect("no panic").released, 1);
        stage.once_told("dropped");
        assert_eq!(stage.once(&id, MessageState::Ready).attempts, 0);
    });
}

#[test]
fn they_run_on_the_runtime_that_the_worker_is_given() {
    on("memory", 1, &|stage| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_time().thread_name("given").build().expect("a runtime");
        let worker = stage.worker().runtime(runtime.handle().clone());
        let stopper = worker.stopper();
        let working = std::thread::spawn(move || worker.run());
        stage.publish(Fetch { text: "a".into() });
        stage.once_told("fetched a");
        stopper.stop();
        working.join().expect("no panic").expect("a run");
        assert!(stage.board.has("a by given, attempt 1"), "{:?}", stage.board.lines());
    });
}

#[test]
fn publishing_does_not_block_the_executor() {
    on("plain", 1, &|stage| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (pulpo, board) = (stage.pulpo.clone(), stage.board.clone());
        let (one, many) = runtime.block_on(async {
            // The queue accepts it only when the other task of this single thread has opened the gate.
            let one = tokio::spawn(pulpo.publish_async(Fetch { text: "held".into() }));
            let opening = tokio::spawn(async move { board.open("enqueue") });
            opening.await.expect("no panic");
            let one = one.await.expect("no panic").expect("published");
            let many = pulpo.publish_all_async([Fetched("b".into()), Fetched("c".into())]).await.expect("published");
            (one, many)
        });
        assert!(one.id().is_some() && many.iter().all(|message| message.id().is_some()));
        assert_eq!((stage.all("fetch").len(), stage.all("fetched").len()), (1, 2));
    });
}

#[test]
fn publishing_needs_no_runtime_of_the_callers() {
    on("plain", 1, &|stage| {
        // Polled as another executor would do it.
        let mut publishing = Box::pin(stage.pulpo.publish_async(Fetched("d".into())));
        let mut published = None;
        pulpo_tests::wait::until("it is published", || {
            let mut task = std::task::Context::from_waker(std::task::Waker::noop());
            if let std::task::Poll::Ready(result) = publishing.as_mut().poll(&mut task) {
                published = Some(result.expect("published"));
            }
            published.is_some()
        });
        assert_eq!(stage.all("fetched").len(), 1);
    });
}
