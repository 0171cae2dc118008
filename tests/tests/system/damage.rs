//! Files of the queue that are deleted, replaced, cut or overwritten: users of the queue get an
//! error that names the file and a remedy, and nothing is lost silently.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;

use pulpo::clock::SystemClock;
use pulpo::queue::file::FileQueue;
use pulpo::queue::{Filter, Inspection, NewMessage, QueueAdapter as _, QueueError};
use pulpo_tests::program::{Running, Sandbox};
use pulpo_tests::wait::until;

const WORKER: &str = env!("CARGO_BIN_EXE_worker");

/// Starts a worker that polls only once an hour.
fn worker(place: &Sandbox) -> Running {
    let mut command = place.command(WORKER, &["work", "--concurrency", "2"]);
    command.env("PULPO_SLEEP_DURATION", "1h");
    let worker = place.start(command);
    until("it waits", || place.log().contains("the worker starts"));
    worker
}

fn queue(place: &Sandbox) -> FileQueue {
    FileQueue::open(&place.path("pulpo-data"), false, Arc::new(SystemClock::new())).expect("a queue")
}

fn record(number: u64) -> NewMessage {
    let text = format!(r#"{{"header":{{"request_type":"record"}},"body":{{"number":{number}}}}}"#);
    NewMessage::new("pulpo", "record", text)
}

fn publish(queue: &FileQueue, number: u64) -> Result<(), QueueError> {
    queue.enqueue(vec![record(number)]).map(drop)
}

fn ran(place: &Sandbox, number: u64) -> bool {
    place.record().contains(&format!(" {number} 0 false\n"))
}

fn stop(worker: Running) {
    worker.signal("TERM");
    assert_eq!(worker.end(), 0);
}

/// Returns the error and its source, as a program prints them.
fn text(error: &QueueError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// Removes the database and its auxiliary files.
fn remove_database(place: &Sandbox) {
    for name in ["queue.db", "queue.db-wal", "queue.db-shm"] {
        let _ = fs::remove_file(place.path("pulpo-data").join(name));
    }
}

fn overwrite(file: &Path, from: u64, length: usize) {
    let mut file = fs::OpenOptions::new().write(true).open(file).expect("opened");
    file.seek(SeekFrom::Start(from)).expect("there");
    let mut noise = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        noise.to_be_bytes()[0]
    })
    .take(length)
    .collect();
    file.write_all(&noise).expect("written");
}

#[track_caller]
fn assert_sound(place: &Sandbox) {
    let connection = rusqlite::Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
    let said: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checked");
    assert_eq!(said, "ok");
}

#[test]
fn no_program_goes_on_with_a_deleted_file() {
    for folder_too in [false, true] {
        let place = Sandbox::new();
        let producer = queue(&place);
        let worker = worker(&place);
        publish(&producer, 1).expect("published");
        until("the first has run", || ran(&place, 1));

        if folder_too {
            // A file that the worker makes at that moment is in the way.
            until("the folder is removed", || fs::remove_dir_all(place.path("pulpo-data")).is_ok());
        } else {
            remove_database(&place);
        }
        let error = publish(&producer, 2).expect_err("refused");
        let said = text(&error);
        assert!(error.is_transient() && said.contains("pulpo-data/queue.db: the file was deleted"), "{said}");
        assert!(producer.stats().is_err() && producer.kick(&Filter::all()).is_err());

        // Another program creates a new file, and all running ones continue with it.
        assert_eq!(place.run(WORKER, &["publish", "record", "--body", r#"{"number": 3}"#]).code, 0);
        publish(&producer, 4).expect("published");
        publish(&producer, 5).expect("published");
        until("the new ones have run", || (3..=5).all(|number| ran(&place, number)));
        assert!(!ran(&place, 2));
        until("it is empty", || producer.stats().is_ok_and(|stats| stats.counts.is_empty()));
        stop(worker);
        assert_sound(&place);
    }
}

#[test]
fn a_worker_waits_for_a_file_that_was_taken_away() {
    let place = Sandbox::new();
    let mut command = place.command(WORKER, &["work", "--concurrency", "2"]);
    command.env("PULPO_SLEEP_DURATION", "50ms");
    let worker = place.start(command);
    until("it works", || place.log().contains("the worker starts"));
    let (file, away) = (place.path("pulpo-data/queue.db"), place.path("pulpo-data/away"));
    fs::rename(&file, &away).expect("moved");
    until("it says so", || place.log().contains("cannot take messages, retrying"));
    assert!(place.log().contains("pulpo-data/queue.db: the file was deleted or moved away"), "{}", place.log());
    fs::rename(&away, &file).expect("moved");
    until("it goes on", || place.log().contains("the queue is back"));
    publish(&queue(&place), 1).expect("published");
    until("it works", || ran(&place, 1));
    stop(worker);
    assert_eq!(place.log().matches("cannot take messages").count(), 1, "{}", place.log());
}

#[test]
fn a_restored_backup_is_noticed_by_all_that_run() {
    let place = Sandbox::new();
    let producer = queue(&place);
    // No worker runs while the backup is made.
    publish(&producer, 1).expect("published");
    let backup = place.path("backup.db");
    let connection = rusqlite::Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
    connection.execute("VACUUM INTO ?1", [backup.display().to_string()]).expect("copied");
    drop(connection);

    let worker = worker(&place);
    publish(&producer, 2).expect("published");
    until("both have run", || ran(&place, 1) && ran(&place, 2));

    fs::remove_file(place.path("pulpo-data/queue.db-wal")).expect("removed");
    fs::remove_file(place.path("pulpo-data/queue.db-shm")).expect("removed");
    fs::rename(&backup, place.path("pulpo-data/queue.db")).expect("restored");
    publish(&producer, 3).expect("published");
    // The queue has the state of the backup again.
    until("the first ran again", || place.record().matches(" 1 0 false\n").count() == 2);
    until("the new one has run", || ran(&place, 3));
    assert_eq!(place.record().matches(" 2 0 false\n").count(), 1);
    until("it is empty", || producer.stats().is_ok_and(|stats| stats.counts.is_empty()));
    stop(worker);
    assert_sound(&place);
    assert!(place.log().contains("was replaced under this program"), "{}", place.log());
}

#[test]
fn a_log_that_is_deleted_loses_nothing() {
    let place = Sandbox::new();
    let producer = queue(&place);
    for number in 0..100 {
        publish(&producer, number).expect("published");
    }
    fs::remove_file(place.path("pulpo-data/queue.db-wal")).expect("removed");
    for number in 100..200 {
        publish(&producer, number).expect("published");
    }
    let other = queue(&place);
    for queue in [&producer, &other] {
        assert_eq!(queue.list(&Filter::all()).expect("a list").len(), 200);
    }
    publish(&other, 200).expect("published");
    assert_eq!(producer.list(&Filter::all()).expect("a list").len(), 201);
    drop((producer, other));
    assert_sound(&place);
}

/// Creates a queue with many jobs, all of them in the database and none in the log.
fn filled(place: &Sandbox, count: u64) -> std::path::PathBuf {
    let queue = queue(place);
    queue.enqueue((0..count).map(record).collect()).expect("published");
    place.path("pulpo-data/queue.db")
}

#[test]
fn a_damaged_file_is_named_with_what_to_do() {
    for (damage, expected) in [
        ((|file| overwrite(file, 0, 4096)) as fn(&Path), "is not a pulpo queue: a file that is not an SQLite database"),
        (|file| overwrite(file, 100, 3996), "recover it with `sqlite3"),
        (|file| overwrite(file, 4096, 200_000), "recover it with `sqlite3"),
        (|file| cut(file, 3), "recover it with `sqlite3"),
    ] {
        let place = Sandbox::new();
        let file = filled(&place, 2000);
        damage(&file);
        let before = fs::read(&file).expect("there");
        for arguments in [&["publish", "record", "--body", r#"{"number": 1}"#][..], &["list", "--limit", "0"]] {
            let said = place.run(WORKER, arguments);
            assert_eq!((said.code, said.out.as_str()), (1, ""), "{arguments:?}: {}", said.err);
            assert!(said.err.contains("pulpo-data/queue.db") && said.err.contains(expected), "{}", said.err);
        }
        assert!(fs::read(&file).expect("there") == before, "no program makes it worse");
    }
}

/// Cuts a file to this many quarters.
fn cut(file: &Path, quarters: u64) {
    let file = fs::OpenOptions::new().write(true).open(file).expect("opened");
    let length = file.metadata().expect("a length").len();
    file.set_len(length / 4 * quarters).expect("cut");
}

#[test]
fn a_worker_waits_for_a_good_file_in_place_of_a_damaged_one() {
    let place = Sandbox::new();
    let file = filled(&place, 2000);
    let good = fs::read(&file).expect("a copy");
    // Overwrite everything but the first pages, which hold the file header and the schema.
    let first = 32 * 4096;
    let length = usize::try_from(file.metadata().expect("a length").len()).expect("small") - first;
    overwrite(&file, first as u64, length);
    let mut command = place.command(WORKER, &["work", "--concurrency", "2"]);
    command.env("PULPO_SLEEP_DURATION", "50ms");
    let worker = place.start(command);
    until("it says so", || place.log().contains("cannot take messages, retrying"));
    assert!(place.log().contains("recover it with `sqlite3"), "{}", place.log());

    for name in ["queue.db-wal", "queue.db-shm"] {
        let _ = fs::remove_file(place.path("pulpo-data").join(name));
    }
    fs::write(place.path("good"), good).expect("written");
    fs::rename(place.path("good"), &file).expect("restored");
    until("all have run", || (0..2000).all(|number| ran(&place, number)));
    stop(worker);
    assert_eq!(place.log().matches("cannot take messages").count(), 1, "{}", place.log());
    assert_sound(&place);
}

/// Creates a queue whose last user was killed, so that its log still exists.
fn killed(place: &Sandbox) {
    let made = ["work", "--set", "sleep_duration=10ms", "--set", "shutdown_after_number_of_empty_iterations=1"];
    assert_eq!(place.run(WORKER, &made).code, 0);
    let nap = place.start(place.command(WORKER, &["work", "--queues", "none"]));
    until("it waits", || place.log().contains("the worker starts"));
    let queue = queue(place);
    (0..50).for_each(|number| publish(&queue, number).expect("published"));
    drop(queue);
    nap.signal("KILL");
    nap.end();
    assert!(place.path("pulpo-data/queue.db-wal").metadata().expect("there").len() > 100_000);
}

#[test]
fn a_damaged_index_of_the_log_is_rebuilt() {
    let damages: [fn(&Path); 3] = [|file| overwrite(file, 0, 32_768), |file| cut(file, 0), |file| cut(file, 2)];
    for damage in damages {
        let place = Sandbox::new();
        killed(&place);
        damage(&place.path("pulpo-data/queue.db-shm"));
        assert_eq!(queue(&place).list(&Filter::all()).expect("a list").len(), 50);
        assert_sound(&place);
    }
}

/// The only silent loss: SQLite takes the damage for the end of the log. The documentation mentions it.
#[test]
fn a_log_that_is_damaged_while_no_program_runs_is_cut_at_the_damage() {
    let place = Sandbox::new();
    killed(&place);
    // After the schema, with which the log begins.
    let log = place.path("pulpo-data/queue.db-wal");
    overwrite(&log, log.metadata().expect("there").len() / 2, 100);
    let mut numbers: Vec<u64> = queue(&place)
        .list(&Filter::all())
        .expect("a list")
        .iter()
        .map(|message| pulpo::Message::<serde_json::Value>::from_json(&message.text).expect("a message"))
        .map(|message| message.body()["number"].as_u64().expect("a number"))
        .collect();
    numbers.sort_unstable();
    assert!(
        !numbers.is_empty() && numbers.len() < 50 && numbers.iter().copied().eq(0..numbers.len() as u64),
        "{numbers:?}"
    );
    assert_sound(&place);
}
