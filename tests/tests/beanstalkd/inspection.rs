//! Inspecting a server with many ids, many tubes, or little patience.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pulpo::clock::SystemClock;
use pulpo::queue::beanstalkd::{BeanstalkdOptions, BeanstalkdQueue};
use pulpo::queue::{
    DequeueFilter, Filter, Inspection as _, MessageState, NewMessage, QueueAdapter as _, QueueError, Settlement,
};
use pulpo_tests::beanstalkd::{BeanstalkdServer, Options};
use pulpo_tests::ids;
use pulpo_tests::program::Sandbox;
use pulpo_tests::proxy::Line;
use pulpo_tests::wait::until;
use tempfile::TempDir;

use crate::other_programs::{Other, queue_at};
use crate::reasons::bury;

/// Returns a queue whose lists reach no further than this many ids.
fn short_sighted(server: &BeanstalkdServer, ids: u64) -> BeanstalkdQueue {
    let options = BeanstalkdOptions::new("localhost").port(server.port()).max_scanned_ids(ids);
    BeanstalkdQueue::connect(options, Arc::new(SystemClock::new())).unwrap()
}

/// Uses up this number of ids, and leaves no messages behind.
pub(crate) fn use_up_ids(queue: &BeanstalkdQueue, count: usize) {
    for _ in 0..count.div_ceil(5000) {
        let put =
            ids(queue.enqueue((0..5000.min(count)).map(|_| NewMessage::new("gone", "t", "{}")).collect()).unwrap());
        assert_eq!(queue.delete(&Filter::all().ids(put)).unwrap(), 5000.min(count) as u64);
    }
}

#[test]
fn a_list_names_the_messages_that_it_does_not_reach_and_kick_and_purge_reach_them() {
    let server = BeanstalkdServer::start();
    let queue = short_sighted(&server, 1000);
    let old = bury(&queue, "old");
    use_up_ids(&queue, 2000);
    let new = bury(&queue, "new");
    let survey = queue.survey(&Filter::all().state(MessageState::Buried), true).unwrap();
    assert_eq!((survey.messages.len(), survey.unseen), (1, 1));
    assert_eq!(survey.messages[0].id, new);
    assert!(queue.peek(&old).unwrap().is_some(), "by its id it is found");

    assert_eq!(queue.kick(&Filter::all()).unwrap(), 2, "each of them");
    let mut consumer = queue.consumer(&["mail".to_owned()]).unwrap();
    for _ in 0..2 {
        let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(1)).unwrap().unwrap();
        consumer.settle(&delivery.lease, &mut Settlement::bury("again", true)).unwrap();
    }
    assert_eq!(queue.delete(&Filter::all().queue("mail").state(MessageState::Buried)).unwrap(), 2);
    assert!(queue.stats().unwrap().counts.is_empty());
    assert_eq!(queue.survey(&Filter::all(), true).unwrap().unseen, 0);
}

#[test]
fn purge_reaches_ready_and_delayed_messages_that_no_list_shows() {
    let server = BeanstalkdServer::start();
    let queue = short_sighted(&server, 1000);
    let mut delayed = NewMessage::new("mail", "type", "{}");
    delayed.delay = Some(chrono::Utc::now() + chrono::TimeDelta::hours(1));
    let ready = NewMessage::new("mail", "type", "{}");
    queue.enqueue(vec![ready.clone(), delayed.clone(), ready, delayed]).unwrap();
    use_up_ids(&queue, 2000);
    assert_eq!(queue.survey(&Filter::all().queue("mail"), false).unwrap().unseen, 4);
    assert_eq!(queue.delete(&Filter::all().queue("mail")).unwrap(), 4);
    assert!(queue.stats().unwrap().counts.is_empty());
}

#[test]
fn the_only_message_of_a_state_is_found_however_old_it_is() {
    let server = BeanstalkdServer::start();
    let queue = short_sighted(&server, 1000);
    let old = bury(&queue, "old");
    use_up_ids(&queue, 2000);
    let survey = queue.survey(&Filter::all().state(MessageState::Buried), true).unwrap();
    assert_eq!((survey.unseen, survey.messages.len()), (0, 1));
    assert_eq!((&survey.messages[0].id, survey.messages[0].last_error.as_deref()), (&old, Some("old")));
}

#[test]
fn a_kick_never_makes_a_delayed_message_ready() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let mut delayed = NewMessage::new("mail", "type", "{}");
    delayed.delay = Some(chrono::Utc::now() + chrono::TimeDelta::hours(1));
    for _ in 0..100 {
        bury(&queue, "fatal");
    }
    queue.enqueue(vec![delayed]).unwrap();
    let kicked: u64 = std::thread::scope(|scope| {
        let kicks: Vec<_> = (0..4).map(|_| scope.spawn(|| queue.kick(&Filter::all()).unwrap())).collect();
        kicks.into_iter().map(|kick| kick.join().unwrap()).sum()
    });
    let counts = queue.stats().unwrap().counts.remove(0);
    assert_eq!((kicked, counts.ready, counts.delayed, counts.buried), (100, 100, 1, 0));
}

#[test]
fn a_list_finds_all_after_restarts_of_a_server_with_a_log() {
    let folder = TempDir::new().unwrap();
    let mut server = Options::new().binlog(folder.path()).start();
    let queue = queue_at(&server);
    let first = bury(&queue, "first");
    use_up_ids(&queue, 5000);
    let second = bury(&queue, "second");
    let listed = |queue: &BeanstalkdQueue| {
        let survey = queue.survey(&Filter::all(), true).unwrap();
        assert_eq!(survey.unseen, 0);
        survey
            .messages
            .into_iter()
            .map(|message| (message.id, message.last_error.unwrap_or_default()))
            .collect::<Vec<_>>()
    };
    let expected = [(second, "second".to_owned()), (first, "first".to_owned())];
    assert_eq!(listed(&queue), expected);
    for _ in 0..2 {
        server.kill();
        server.restart();
        assert_eq!(listed(&queue_at(&server)), expected);
    }
    let third = bury(&queue_at(&server), "third");
    assert_eq!(listed(&queue_at(&server))[0], (third, "third".to_owned()));
}

#[test]
fn inspection_puts_nothing_so_a_draining_server_can_be_emptied() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let buried = bury(&queue, "fatal");
    let kept = ids(queue.enqueue((0..3).map(|_| NewMessage::new("mail", "type", "{}")).collect()).unwrap());
    server.signal("USR1");
    until("it drains", || {
        matches!(queue.enqueue(vec![NewMessage::new("mail", "type", "{}")]), Err(QueueError::Draining { .. }))
    });
    let puts = || {
        let stats = Other::new(&server).ask("stats");
        stats.lines().find_map(|line| line.strip_prefix("cmd-put: ")).unwrap().parse::<u64>().unwrap()
    };
    let before = puts();
    assert_eq!(queue.list(&Filter::all()).unwrap().len(), 4);
    assert_eq!(queue.peek(&buried).unwrap().unwrap().last_error.as_deref(), Some("fatal"));
    assert_eq!(queue.delete(&Filter::all().id(kept[0].clone())).unwrap(), 1);
    assert_eq!(queue.kick(&Filter::all().request_type("f")).unwrap(), 1);
    assert_eq!(queue.stats().unwrap().total(), 3);
    assert_eq!(queue.delete(&Filter::all().queue("mail")).unwrap(), 3);
    assert_eq!(puts(), before);
}

#[test]
fn inspecting_keeps_no_publication_waiting() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let buried = bury(&queue, "the oldest note");
    bury(&queue, "another");
    use_up_ids(&queue, 20_000);
    std::thread::scope(|scope| {
        let looks: Vec<_> = (0..16).map(|_| scope.spawn(|| queue.peek(&buried).unwrap().unwrap().last_error)).collect();
        let started = Instant::now();
        queue.enqueue(vec![NewMessage::new("mail", "type", "{}")]).unwrap();
        assert!(started.elapsed() < Duration::from_secs(30), "it took {:?}", started.elapsed());
        for look in looks {
            assert_eq!(look.join().unwrap().as_deref(), Some("the oldest note"));
        }
    });
}

#[test]
fn a_deletion_by_queue_fetches_no_text() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    queue.enqueue((0..200).map(|_| NewMessage::new("mail", "type", "x".repeat(60_000))).collect()).unwrap();
    let before = Other::new(&server).ask("stats");
    assert_eq!(queue.survey(&Filter::all().queue("mail"), false).unwrap().messages.len(), 200);
    assert_eq!(queue.delete(&Filter::all().queue("mail")).unwrap(), 200);
    let after = Other::new(&server).ask("stats");
    let peeks = |stats: &str| stats.lines().find(|line| line.starts_with("cmd-peek: ")).unwrap().to_owned();
    assert_eq!(peeks(&after), peeks(&before));
}

#[test]
fn a_thousand_tubes_are_counted_in_few_round_trips() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    queue.enqueue((0..1000).map(|tube| NewMessage::new(format!("tube{tube}"), "type", "{}")).collect()).unwrap();
    // One by one, they would take ten seconds.
    let line = Line::new().delay(Duration::from_millis(5)).start(server.port());
    let far = BeanstalkdQueue::new(BeanstalkdOptions::new("127.0.0.1").port(line.port()), Arc::new(SystemClock::new()));
    let mut took = Vec::new();
    // A machine that is busy with other things may hold up some of the tries.
    while took.iter().all(|took| *took > Duration::from_secs(5)) {
        assert!(took.len() < 5, "it took {took:?}");
        let started = Instant::now();
        let stats = far.stats().unwrap();
        took.push(started.elapsed());
        assert_eq!((stats.counts.len(), stats.total()), (1000, 1000));
        assert!(stats.counts.iter().all(|counts| counts.oldest_ready.is_some()));
    }
    let own = queue.stats_of(&["tube7".to_owned()]).unwrap();
    assert_eq!((own.counts.len(), own.counts[0].queue.as_str()), (1, "tube7"));
}

/// Returns how many jobs the server was asked about.
fn asked(server: &BeanstalkdServer) -> u64 {
    let stats = Other::new(server).ask("stats");
    stats.lines().find_map(|line| line.strip_prefix("cmd-stats-job: ")).unwrap().parse().unwrap()
}

#[test]
fn a_list_goes_through_a_quarter_of_a_million_ids_soon() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let mut buried = vec![bury(&queue, "the first of all"), bury(&queue, "another")];
    for _ in 0..50 {
        queue.enqueue((0..5000).map(|_| NewMessage::new("mail", "type", "{}")).collect()).unwrap();
    }
    let reasons = || -> Vec<String> {
        let found = queue.list(&Filter::all().state(MessageState::Buried)).unwrap();
        found.into_iter().map(|message| message.last_error.unwrap_or_default()).collect()
    };
    // Their ids and those of their notes are close to what the server shows.
    let before = asked(&server);
    assert_eq!(reasons(), ["another", "the first of all"]);
    assert!(asked(&server) - before < 3000, "{} ids", asked(&server) - before);
    // A list of fewer than there are begins with the newest ids, and this one is among them.
    let mut urgent = NewMessage::new("mail", "type", "{}");
    urgent.priority = pulpo::Priority::new(0);
    queue.enqueue(vec![urgent]).unwrap();
    let mut consumer = queue.consumer(&["mail".to_owned()]).unwrap();
    let newest = consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(5)).unwrap().unwrap().lease;
    consumer.settle(&newest, &mut Settlement::bury("the newest", true)).unwrap();
    drop(consumer);
    let last = queue.list(&Filter::all().state(MessageState::Buried).limit(1)).unwrap();
    assert_eq!((last.len(), &last[0].id, last[0].last_error.as_deref()), (1, &newest.id, Some("the newest")));
    buried.push(newest.id);
    let (started, before) = (Instant::now(), asked(&server));
    assert_eq!(reasons(), ["the newest", "another", "the first of all"], "however far they are from each other");
    let listed = started.elapsed();
    assert!(asked(&server) - before > 250_000, "all ids");
    let started = Instant::now();
    assert_eq!(queue.kick(&Filter::all()).unwrap(), 3);
    let kicked = started.elapsed();
    for id in &buried {
        assert!(queue.peek(id).unwrap().is_some_and(|message| message.state == MessageState::Ready));
    }
    // A guard against a round trip for each id: on an idle machine it takes a second.
    assert!(listed < Duration::from_secs(60) && kicked < Duration::from_secs(60), "{listed:?}, {kicked:?}");
}

#[test]
fn thousands_are_kicked_in_few_round_trips_and_delayed_ones_are_not() {
    let server = BeanstalkdServer::start();
    let queue = queue_at(&server);
    let mut later = NewMessage::new("mail", "type", "{}");
    later.delay = Some(chrono::Utc::now() + chrono::TimeDelta::hours(1));
    let later = queue.enqueue(vec![later]).unwrap().remove(0).id;
    queue.enqueue((0..3000).map(|_| NewMessage::new("mail", "type", "{}")).collect()).unwrap();
    let mut consumer = queue.consumer(&["mail".to_owned()]).unwrap();
    for number in 0..3000 {
        let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::from_secs(5)).unwrap().unwrap();
        consumer.settle(&delivery.lease, &mut Settlement::bury(format!("reason {number}"), true)).unwrap();
    }
    let peeks = || -> u64 {
        let stats = Other::new(&server).ask("stats");
        stats.lines().find_map(|line| line.strip_prefix("cmd-peek-buried: ")).unwrap().parse().unwrap()
    };
    let before = peeks();
    assert_eq!(queue.kick(&Filter::all().limit(10)).unwrap(), 10, "as many as were asked for");
    assert_eq!(queue.kick(&Filter::all()).unwrap(), 2990);
    assert!(peeks() - before < 50, "{} were looked for one by one", peeks() - before);
    assert_eq!(queue.peek(&later).unwrap().unwrap().state, MessageState::Delayed);
    let counts = &queue.stats().unwrap().counts[0];
    assert_eq!((counts.ready, counts.delayed, counts.buried), (3000, 1, 0));
}

#[test]
fn a_pause_of_a_queue_that_is_not_there_is_refused_in_words_and_a_resume_is_not() {
    let place = Sandbox::with_beanstalkd();
    let run = |arguments: &[&str]| place.run(env!("CARGO_BIN_EXE_worker"), arguments);
    let pause = run(&["pause", "nowhere", "1m"]);
    assert_eq!((pause.code, pause.out.as_str()), (1, ""), "{}", pause.err);
    for words in ["has no queue \"nowhere\"", "only while there are messages or workers for it", "start a worker"] {
        assert!(pause.err.contains(words), "{}", pause.err);
    }
    assert_eq!(run(&["resume", "nowhere"]).code, 0, "what is not there is not paused");
}
