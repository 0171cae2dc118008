//! `move`: moves everything from one queue to another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pulpo::queue::{DequeueFilter, Filter, LimitKeys, MessageState, NewMessage, Settlement, StoredMessage, Unique};
use pulpo::{Config, Priority, Pulpo, UniqueFor};
use pulpo_tests::beanstalkd::BeanstalkdServer;
use pulpo_tests::postgres::PostgresServer;
use pulpo_tests::program::{CommandOutput, Sandbox};
use pulpo_tests::wait::within;
use serde_json::{Value, json};

const WORKER: &str = env!("CARGO_BIN_EXE_order_service");

fn open(url: &str) -> Pulpo {
    Pulpo::new(Config::default().queue(url).expect("a queue")).expect("opened")
}

fn file(place: &Sandbox, name: &str) -> String {
    format!("file:{}", place.path(name).display())
}

fn message(number: usize) -> NewMessage {
    let text = json!({ "header": { "request_type": "order_paid" }, "body": { "id": number, "pad": "x".repeat(600) } });
    let mut message =
        NewMessage::new(if number.is_multiple_of(3) { "mail" } else { "orders" }, "order_paid", text.to_string());
    message.priority = Priority::new((number % 5) as u32);
    message.ttr = Duration::from_secs(77);
    message
}

/// Publishes ready, delayed and buried messages, some of which have failed before.
fn fill(pulpo: &Pulpo, ready: usize) {
    let queues = ["mail".to_owned(), "orders".to_owned()];
    let mut consumer = pulpo.queue().consumer(&queues).expect("a consumer");
    let mut settle = |number, mut settlement| {
        pulpo.queue().enqueue(vec![message(number)]).expect("enqueued");
        let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(5)).expect("dequeued").expect("one");
        consumer.settle(&delivery.lease, &mut settlement).expect("settled");
    };
    settle(1, Settlement::bury("no recipient", true));
    settle(2, Settlement::rollback(Duration::from_secs(3600), "refused", true));
    settle(3, Settlement::rollback(Duration::ZERO, "once", true));
    drop(consumer);
    let mut later = message(4);
    later.delay = Some("2100-01-01T00:00:00Z".parse().expect("a time"));
    let others = (5..5 + ready).map(message);
    pulpo.queue().enqueue(std::iter::once(later).chain(others).collect()).expect("enqueued");
}

/// Returns the queue's view of each message, by the number in its body.
fn shown(pulpo: &Pulpo) -> BTreeMap<u64, Vec<StoredMessage>> {
    let mut all: BTreeMap<u64, Vec<StoredMessage>> = BTreeMap::new();
    for stored in pulpo.queue().list(&Filter::all()).expect("listed") {
        let message: Value = serde_json::from_slice(&stored.text).expect("JSON");
        all.entry(message["body"]["id"].as_u64().expect("a number")).or_default().push(stored);
    }
    all
}

fn move_to(place: &Sandbox, from: &str, to: &str, more: &[&str]) -> CommandOutput {
    let arguments: Vec<&str> = ["move", "--to", to].iter().chain(more).copied().collect();
    place.to_end(place.command(WORKER, &arguments).env("PULPO_QUEUE", from))
}

#[test]
fn everything_moves_with_its_place_its_attempts_and_its_reason() {
    let place = Sandbox::new();
    let (here, there) = (file(&place, "old"), file(&place, "new"));
    let old = open(&here);
    fill(&old, 300);
    let before = shown(&old);
    let dry = move_to(&place, &here, &there, &["--dry-run"]);
    assert!(
        dry.out.starts_with("would move 304 messages to file:") && dry.out.contains("2 delayed, 1 buried"),
        "{}",
        dry.out
    );
    assert!(!place.path("new").exists(), "a dry run makes nothing");
    old.queue().pause("mail", Duration::from_secs(3000)).expect("paused");

    let moved = move_to(&place, &here, &there, &["--json"]);
    assert_eq!((moved.code, moved.err.as_str()), (0, ""));
    let moved: Value = serde_json::from_str(&moved.out).expect("JSON");
    assert_eq!((&moved["moved"], &moved["running"], &moved["taken"]), (&json!(304), &json!(0), &json!(0)));
    assert_eq!(shown(&old).len(), 0);
    // Only the queue that was paused before is paused.
    let stats = old.queue().stats().expect("counted");
    assert_eq!((stats.paused.len(), stats.paused[0].queue.as_str()), (1, "mail"));

    let new = open(&there);
    let after = shown(&new);
    assert_eq!(after.len(), before.len());
    for (number, was) in &before {
        let ([was], [is]) = (was.as_slice(), after[number].as_slice()) else { panic!("{number} is there once") };
        let of = |stored: &StoredMessage| {
            let StoredMessage { queue, request_type, state, priority, until, attempts, abandoned, enqueued_at, .. } =
                stored.clone();
            let failed = (stored.last_error.clone(), stored.last_error_at, stored.ttr, stored.text.clone());
            (queue, request_type, state, priority, until, attempts, abandoned, enqueued_at, failed)
        };
        assert_eq!(of(was), of(is), "{number}");
    }
    assert_eq!(after[&1][0].state, MessageState::Buried);
    assert_eq!(after[&3][0].attempts, 1);
    // In the order in which they were published.
    let ids = |all: &BTreeMap<u64, Vec<StoredMessage>>| {
        let mut ids: Vec<(u64, u64)> =
            all.iter().map(|(number, stored)| (stored[0].id.as_str().parse().expect("a number"), *number)).collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, number)| number).collect::<Vec<_>>()
    };
    assert_eq!(ids(&after), ids(&before));
}

#[test]
fn a_move_that_is_killed_loses_nothing_and_doubles_nothing() {
    let place = Sandbox::new();
    let (here, there) = (file(&place, "old"), file(&place, "new"));
    let old = open(&here);
    fill(&old, 4000);
    for round in 0..8 {
        let mut command = place.command(WORKER, &["move", "--to", &there]);
        command.env("PULPO_QUEUE", &here);
        let mut moving = place.start(command);
        let _ = within(Duration::from_millis(20 + 25 * round), || moving.has_ended());
        drop(moving);
    }
    let done = move_to(&place, &here, &there, &[]);
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    let after = shown(&open(&there));
    assert_eq!((after.len(), shown(&old).len()), (4004, 0));
    assert!(after.values().all(|stored| stored.len() == 1));
}

#[test]
fn beanstalkd_takes_what_it_can_keep_and_the_rest_stays() {
    let place = Sandbox::with_beanstalkd();
    let (here, there) = (file(&place, "old"), format!("beanstalkd://{}", place.server_address()));
    let old = open(&here);
    fill(&old, 50);
    let mut large = message(100);
    large.text =
        json!({ "header": { "request_type": "order_paid" }, "body": { "pad": "x".repeat(70_000) } }).to_string();
    old.queue().enqueue(vec![large]).expect("enqueued");
    let moved = move_to(&place, &here, &there, &[]);
    assert_eq!(moved.code, 1);
    assert!(moved.out.starts_with("moved 53 messages to beanstalkd://"), "{}", moved.out);
    assert!(moved.err.contains("2 messages left here, refused by the other queue"), "{}", moved.err);
    // Everything can be moved back.
    let back = move_to(&place, &there, &here, &["--json"]);
    assert_eq!((back.code, back.err.as_str()), (0, ""), "{}", back.out);
    let all = old.queue().stats().expect("counted").counts;
    let sum = all
        .iter()
        .map(|counts| [counts.ready, counts.delayed, counts.buried])
        .fold([0; 3], |sum, one| [sum[0] + one[0], sum[1] + one[1], sum[2] + one[2]]);
    assert_eq!(sum, [52, 2, 1]);
}

#[test]
fn postgresql_takes_everything_and_gives_it_back() {
    let (place, server) = (Sandbox::new(), pulpo_tests::postgres::PostgresServer::shared());
    let (here, there, back) = (file(&place, "old"), server.fresh_url(), file(&place, "back"));
    let old = open(&here);
    fill(&old, 600);
    let before = shown(&old);
    for (from, to) in [(&here, &there), (&there, &back)] {
        let moved = move_to(&place, from, to, &[]);
        assert_eq!((moved.code, moved.err.as_str()), (0, ""));
        assert!(moved.out.starts_with("moved 604 messages to "), "{}", moved.out);
        assert!(!moved.out.contains("postgres@"), "{}", moved.out);
    }
    let after = shown(&open(&back));
    assert_eq!(after.len(), before.len());
    for (number, was) in before {
        let ([was], [is]) = (was.as_slice(), after[&number].as_slice()) else { panic!("{number} is there once") };
        let of = |stored: &StoredMessage| {
            let failed = (stored.attempts, stored.last_error.clone(), stored.last_error_at, stored.enqueued_at);
            (stored.queue.clone(), stored.state, stored.priority, stored.until, stored.ttr, failed, stored.text.clone())
        };
        assert_eq!(of(was), of(is), "{number}");
    }
}

fn unique(number: usize, key: &str, unique_for: UniqueFor) -> NewMessage {
    message(number).unique(Unique::new(key).unique_for(unique_for)).limit_keys(LimitKeys::of(format!("1:[{number}]")))
}

/// Publishes messages that hold their keys, one for each duration; one that has lost its key to a
/// newer message that waits; and a buried one.
fn fill_with_keys(pulpo: &Pulpo) {
    let mut consumer = pulpo.queue().consumer(&["mail".to_owned(), "orders".to_owned()]).expect("a consumer");
    let mut run = |message, mut between: Vec<NewMessage>, mut settlement| {
        pulpo.queue().enqueue(vec![message]).expect("enqueued");
        let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(5)).expect("dequeued").expect("one");
        if !between.is_empty() {
            pulpo.queue().enqueue(std::mem::take(&mut between)).expect("enqueued");
        }
        consumer.settle(&delivery.lease, &mut settlement).expect("settled");
    };
    run(unique(1, "buried", UniqueFor::Unfinished), Vec::new(), Settlement::bury("no recipient", true));
    let newer = vec![unique(3, "waits", UniqueFor::Waiting)];
    run(unique(2, "waits", UniqueFor::Waiting), newer, Settlement::rollback(Duration::from_secs(60), "failed", true));
    let hour = UniqueFor::Time(Duration::from_secs(3600));
    pulpo
        .queue()
        .enqueue(vec![unique(4, "unfinished", UniqueFor::Unfinished), unique(5, "timed", hour)])
        .expect("enqueued");
}

#[test]
fn keys_move_with_their_messages() {
    let (place, server) = (Sandbox::new(), pulpo_tests::postgres::PostgresServer::shared());
    let (first, second, third) = (file(&place, "old"), server.fresh_url(), file(&place, "back"));
    fill_with_keys(&open(&first));
    for (from, to) in [(&first, &second), (&second, &third)] {
        let moved = move_to(&place, from, to, &[]);
        assert_eq!((moved.code, moved.err.as_str()), (0, ""), "{}", moved.out);
        assert!(moved.out.starts_with("moved 5 messages to "), "{}", moved.out);
        let there = open(to);
        let all = shown(&there);
        for (number, key, has_key) in
            [(1, "buried", false), (2, "waits", false), (3, "waits", true), (4, "unfinished", true), (5, "timed", true)]
        {
            let stored = &all[&number][0];
            assert_eq!(stored.limit_keys, LimitKeys::of(format!("1:[{number}]")), "{number} at {to}");
            let unique = stored.unique.as_ref().map(|unique| unique.key.as_str());
            assert_eq!((unique, stored.has_key), (Some(key), has_key), "{number} at {to}");
        }
        let left = all[&5][0].unique.as_ref().map(|unique| unique.unique_for);
        assert!(matches!(left, Some(UniqueFor::Time(left)) if left > Duration::from_secs(3400)), "{left:?}");
        // The keys are taken.
        for (key, holder) in [("waits", 3), ("unfinished", 4), ("timed", 5)] {
            let kept = there.queue().enqueue(vec![unique(9, key, UniqueFor::Unfinished)]).expect("enqueued").remove(0);
            assert_eq!(kept.id, all[&holder][0].id, "{key} at {to}");
        }
        // The key of the buried message is free, and of two messages that wait, the newer one holds
        // the key.
        assert_eq!(there.queue().key_taken_by(&all[&1][0].id).expect("asked"), None);
        assert_eq!(there.queue().key_taken_by(&all[&2][0].id).expect("asked").as_ref(), Some(&all[&3][0].id));
    }
}

#[test]
fn a_message_whose_key_is_taken_there_stays() {
    let (place, server) = (Sandbox::new(), pulpo_tests::postgres::PostgresServer::shared());
    let (here, database) = (file(&place, "old"), server.fresh_url());
    let old = open(&here);
    old.queue().enqueue(vec![message(1), unique(2, "a", UniqueFor::Unfinished), message(3)]).expect("enqueued");
    let new = open(&database);
    let there = new.queue().enqueue(vec![unique(4, "a", UniqueFor::Waiting)]).expect("enqueued").remove(0).id;
    let moved = move_to(&place, &here, &database, &[]);
    assert_eq!(moved.code, 1);
    assert!(
        moved.out.starts_with(&format!("left 2: its key is taken by {there} there\nmoved 2 messages to ")),
        "{}",
        moved.out
    );
    assert!(
        moved.err.contains("1 message left here: a message of the other queue has the same unique key"),
        "{}",
        moved.err
    );
    assert_eq!((shown(&old).len(), shown(&new).len()), (1, 3));
    // In the other direction, too, and as JSON.
    new.queue().delete(&Filter::all().id(there)).expect("deleted");
    new.queue().enqueue(vec![unique(5, "a", UniqueFor::Time(Duration::from_secs(60)))]).expect("enqueued");
    let moved = move_to(&place, &database, &here, &["--json"]);
    let told: Value = serde_json::from_str(&moved.out).expect("JSON");
    assert_eq!((moved.code, &told["moved"], &told["refused"]), (1, &json!(2), &json!(0)), "{}", moved.err);
    assert_eq!(told["left"][0]["taken_by"], json!("2"), "{told}");
}

#[test]
fn messages_of_a_running_worker_stay_and_are_reported() {
    let place = Sandbox::new();
    let (here, there) = (file(&place, "old"), file(&place, "new"));
    let old = open(&here);
    old.queue().enqueue(vec![message(1), message(2)]).expect("enqueued");
    let mut consumer = old.queue().consumer(&["orders".to_owned()]).expect("a consumer");
    let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(5)).expect("dequeued").expect("one");
    let moved = move_to(&place, &here, &there, &[]);
    assert_eq!((moved.code, moved.out.starts_with("moved 1 message to ")), (1, true), "{}", moved.err);
    assert!(moved.err.contains("1 message left here, still running"), "{}", moved.err);
    // Its worker is not disturbed.
    consumer.settle(&delivery.lease, &mut Settlement::commit()).expect("done");
    assert_eq!(move_to(&place, &here, &there, &[]).code, 0);
}

#[test]
fn a_move_to_the_same_queue_or_to_none_is_refused() {
    let place = Sandbox::new();
    let here = file(&place, "old");
    let refused = move_to(&place, &here, &here, &[]);
    assert!(
        refused.code == 2 && refused.err.contains("expected --to to name a queue other than file:"),
        "{}",
        refused.err
    );
    let refused = move_to(&place, &here, "redis://localhost", &[]);
    assert!(refused.code == 1 && refused.err.contains("redis"), "{}", refused.err);
    // From a place without a queue.
    let refused = move_to(&place, &here, &file(&place, "new"), &[]);
    assert!(refused.code == 1 && refused.err.contains("there is no queue at"), "{}", refused.err);
    assert!(!place.path("new").exists());
}

/// Otherwise each message that has moved would be there to move again.
#[test]
fn a_move_to_the_same_queue_by_another_name_is_refused() {
    let place = Sandbox::new();
    let here = file(&place, "old");
    fill(&open(&here), 20);
    let link = place.path("link");
    std::os::unix::fs::symlink(place.path("old"), &link).expect("a link");
    let server = BeanstalkdServer::start();
    let (tube, other_name) = (
        format!("beanstalkd://127.0.0.1:{}", server.port()),
        format!("beanstalkd://localhost:{}/other", server.port()),
    );
    open(&tube).queue().enqueue((1..20).map(message).collect()).expect("enqueued");
    let database = PostgresServer::shared();
    let postgres = database.fresh_url();
    open(&postgres).queue().enqueue((1..20).map(message).collect()).expect("enqueued");
    let same = ": it is the same one";
    let cases = [
        // The two texts are one setting.
        (here.clone(), format!("{here}/"), ""),
        (here.clone(), file(&place, "link"), same),
        (tube, other_name, same),
        (postgres.clone(), postgres.replace("127.0.0.1", "localhost"), same),
    ];
    for (here, there, why) in cases {
        assert_ne!(here, there);
        let ids = || -> BTreeSet<_> { shown(&open(&here)).into_values().flatten().map(|stored| stored.id).collect() };
        let before = ids();
        for more in [&[][..], &["--dry-run"]] {
            let refused = move_to(&place, &here, &there, more);
            let said = refused.err.contains("expected --to to name a queue other than ") && refused.err.contains(why);
            assert!(refused.code == 2 && said, "{here} to {there} {more:?}: {}", refused.err);
        }
        assert_eq!(ids(), before);
    }
}

#[test]
fn a_move_to_a_copy_is_refused() {
    let place = Sandbox::new();
    let here = file(&place, "old");
    fill(&open(&here), 5);
    std::fs::create_dir(place.path("copy")).expect("a folder");
    open(&here).queue().backup(&place.path("copy").join("queue.db")).expect("copied");
    let refused = move_to(&place, &here, &file(&place, "copy"), &[]);
    assert!(refused.code == 2 && refused.err.contains("or a copy"), "{}", refused.err);
}

#[test]
fn a_move_between_lists_of_servers_that_overlap_is_refused() {
    let place = Sandbox::new();
    let servers = [BeanstalkdServer::start(), BeanstalkdServer::start(), BeanstalkdServer::start()];
    let [a, b, c] = [0, 1, 2].map(|at: usize| format!("127.0.0.1:{}", servers[at].port()));
    let other_name = a.replace("127.0.0.1", "localhost");
    let both = format!("beanstalkd://{a},{b}");
    open(&both).queue().enqueue((1..10).map(message).collect()).expect("enqueued");
    for there in [format!("{b},{a}"), a.clone(), format!("{other_name},{b}"), format!("{c},{other_name}")] {
        let refused = move_to(&place, &both, &format!("beanstalkd://{there}"), &[]);
        assert!(refused.code == 2 && refused.err.contains("servers in common"), "{there}: {}", refused.err);
    }
    assert_eq!(shown(&open(&both)).len(), 9);
    assert_eq!(move_to(&place, &both, &format!("beanstalkd://{c}"), &[]).code, 0);
}

/// What their names hide, or their first messages, may be the same.
#[test]
fn a_move_to_a_queue_that_only_looks_the_same_is_made() {
    let place = Sandbox::new();
    let database = PostgresServer::shared();
    let (one, two) = (database.fresh_url(), database.fresh_url());
    let servers = [BeanstalkdServer::start(), BeanstalkdServer::start()];
    let [a, b] = [0, 1].map(|at: usize| format!("beanstalkd://127.0.0.1:{}", servers[at].port()));
    for (here, there) in [(one, two), (a, b)] {
        for queue in [&here, &there] {
            open(queue).queue().enqueue(vec![message(1)]).expect("enqueued");
        }
        let dry = move_to(&place, &here, &there, &["--dry-run"]);
        assert_eq!((dry.code, dry.out.starts_with("would move 1 message")), (0, true), "{} {}", dry.out, dry.err);
        let moved = move_to(&place, &here, &there, &[]);
        assert_eq!(moved.code, 0, "{here} to {there}: {}", moved.err);
        assert_eq!(shown(&open(&there))[&1].len(), 2);
    }
}
