//! The pictures in the documents: pages of a shop's queue, made by a browser.
//!
//! With `OVERWRITE=1` this test writes them into `docs/pictures`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use pulpo::clock::SystemClock;
use pulpo::queue::file::FileQueue;
use pulpo::queue::{AttemptOutcome, DequeueFilter, FailedRun, NewMessage, QueueAdapter as _, Settlement};
use pulpo_tests::browser::{Browser, devtools, shows};
use pulpo_tests::program::Sandbox;
use rusqlite::{Connection, params};
use serde_json::json;

use super::Served;

/// Bytes of a picture at most: each clone of the repository has them.
const LARGEST: usize = 100_000;

/// The subject of a picture: the page, its size, and the colours.
const PICTURES: [(&str, &str, u32, u32, &str); 2] =
    [("dashboard-overview.png", "/", 1000, 720, "light"), ("dashboard-job.png", "/jobs/1", 1000, 720, "dark")];

const DECLINED: &str = "the bank declined the payment: 504 Gateway Timeout";

/// The queue of a shop with some days of work behind it.
fn shop(place: &Sandbox) {
    let folder = place.path("pulpo-data");
    let queue = FileQueue::open(&folder, false, Arc::new(SystemClock::new())).expect("the queue");
    let message = |queue: &str, name: &str, body: serde_json::Value| {
        let envelope = json!({"header": {"request_type": name, "priority": 65536}, "body": body});
        NewMessage::new(queue, name, envelope.to_string())
    };
    let charge = |order: u32| json!({"order": order, "amount": "49.90", "currency": "EUR"});
    queue.enqueue((0..3).map(|n| message("payments", "charge_card", charge(4711 + n))).collect()).expect("published");
    let mut consumer = queue.consumer(&["payments".to_owned()]).expect("a consumer");
    for attempt in (0..3).flat_map(|attempt| [attempt; 3]) {
        let delivery = consumer.dequeue(&DequeueFilter::all(), Duration::ZERO).expect("dequeue").expect("a message");
        let took = Duration::from_millis(5000 + 13 * attempt);
        let started = Utc::now() - Duration::from_secs(60 * (11 - 4 * attempt));
        let run = FailedRun::new(started, took, AttemptOutcome::Failed);
        let reason = if attempt == 1 { "cannot reach the bank: connection timed out" } else { DECLINED };
        let end = if attempt == 2 {
            Settlement::bury(reason, true)
        } else {
            Settlement::rollback(Duration::ZERO, reason, true)
        };
        consumer.settle(&delivery.lease, &mut end.of_run(run)).expect("settled");
    }
    let to = |n: u32| json!({"to": format!("customer{n}@example.com")});
    queue.enqueue((0..38).map(|n| message("mail", "send_email", to(n))).collect()).expect("published");
    queue.enqueue((0..112).map(|n| message("images", "resize_image", json!({"id": n}))).collect()).expect("published");
    let later = |n| {
        let mut reminder = message("mail", "send_reminder", to(n));
        reminder.delay = Some(Utc::now() + Duration::from_secs(3600));
        reminder
    };
    queue.enqueue((0..24).map(later).collect()).expect("published");
    drop(consumer);
    drop(queue);
    let database = Connection::open(folder.join("queue.db")).expect("opened");
    let now = Utc::now().timestamp() / 60;
    // A wave over two hours, and a quarter of an hour in which the bank was away.
    for ago in 1..24_i32 * 60 {
        let wave = 40.0 + 25.0 * (f64::from(ago) / 19.0).sin();
        let is_away = (8..23).contains(&ago);
        let (done, failed) = if is_away { (wave / 2.0, 9 - (ago - 15).abs()) } else { (wave, ago % 7 / 6) };
        let waiting = if is_away { 150 + 40 * (23 - ago) } else { 150 + ago % 11 };
        let values = params![
            now - i64::from(ago),
            done.round() as i64,
            failed,
            i64::from(ago == 9) * 3,
            waiting,
            (now - i64::from(ago)) * 60_000_000 - i64::from(waiting) * 400_000
        ];
        let total = "INSERT OR REPLACE INTO activity_total VALUES (1, ?1, ?2, ?2, ?3, ?4, 0, ?5, ?6)";
        database.execute(total, values).expect("written");
    }
    // Three such days.
    let published =
        "UPDATE sqlite_sequence SET seq = seq + 3 * (SELECT sum(published) FROM activity_total WHERE step = 1)
                     WHERE name = 'message'";
    assert_eq!(database.execute(published, []).expect("written"), 1);
    let since = Utc::now().timestamp_micros() - 95_000_000;
    database.execute("UPDATE message SET since = ?1, due_since = ?1 WHERE state = 0", [since]).expect("written");
}

fn committed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pictures").join(name)
}

/// Returns the width and the height of a PNG.
fn size(picture: &[u8]) -> (u32, u32) {
    let number = |place: usize| u32::from_be_bytes(picture[place..place + 4].try_into().expect("four bytes"));
    (number(16), number(20))
}

#[test]
fn the_pictures_of_the_readme_are_those_of_the_dashboard() {
    let place = Sandbox::new();
    shop(&place);
    let served = Served::start(&place, &["--allow-changes"], &[]);
    let home = format!("http://{}", served.address);
    let browser = Browser::start();
    let made = browser.run(async |client| {
        let mut made = Vec::new();
        for (_, path, width, height, scheme) in PICTURES {
            let emulate = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            devtools(client, "Emulation.setEmulatedMedia", &emulate).await;
            let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
            devtools(client, "Emulation.setDeviceMetricsOverride", &size).await;
            client.goto(&format!("{home}{path}")).await.expect("a page");
            shows(client, "Live").await;
            made.push(client.screenshot().await.expect("a picture"));
        }
        made
    });
    for ((name, _, width, height, _), picture) in PICTURES.into_iter().zip(made) {
        std::fs::write(super::browser::pictures().join(name), &picture).expect("written");
        assert!(picture.len() < LARGEST, "{name} has {} bytes", picture.len());
        assert_eq!(size(&picture), (width, height), "{name}");
        if std::env::var_os("OVERWRITE").is_some() {
            std::fs::create_dir_all(committed(name).parent().expect("a folder")).expect("a folder");
            std::fs::write(committed(name), &picture).expect("written");
        }
        // Fonts differ between machines, so the pictures themselves are not compared.
        let known = std::fs::read(committed(name)).expect("run this test with OVERWRITE=1");
        assert!(known.len() < LARGEST && size(&known) == (width, height), "{name}: run this test with OVERWRITE=1");
    }
}
