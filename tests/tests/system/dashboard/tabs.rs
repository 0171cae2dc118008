//! Open pages in a real browser: what they show while jobs go on, and how many there may be.

use fantoccini::Client;
use pulpo_tests::browser::{Browser, click, evaluate, holds, shows};
use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;

use super::{Served, WORKER, some_jobs};

/// Its jobs report progress, and run until they are cancelled.
const CANCELLED: &str = env!("CARGO_BIN_EXE_cancelled_worker");

/// Opens a page, and marks it so that a reload would be noticed.
async fn open(client: &Client, address: &str) {
    client.goto(address).await.expect("a page");
    shows(client, "Live").await;
    evaluate(client, "window.untouched = true").await;
}

async fn is_untouched(client: &Client) -> bool {
    evaluate(client, "return window.untouched === true").await == true
}

#[test]
fn progress_moves_without_a_reload_and_a_click_cancels() {
    let place = Sandbox::new();
    // Creates the queue.
    assert_eq!(place.run(CANCELLED, &["publish", "counts", "--body", "null"]).code, 0);
    let served = Served::by(CANCELLED, &place, &["--allow-changes"], &[]);
    let worker = place.start(place.command(CANCELLED, &["work", "--concurrency", "2"]));
    until("the job runs", || served.page("/workers").contains("href=\"/jobs/1\""));
    let browser = Browser::start();
    browser.run(async |client| {
        open(client, &format!("http://{}/jobs/1", served.address)).await;
        // Each row that it shows, one after the other.
        let moves = "const row = document.querySelector('main')?.innerText.match(/row (\\d+)/)?.[1];
            window.rows ??= [];
            if (row && window.rows.at(-1) !== row) window.rows.push(row);
            return window.rows.length >= 3";
        holds(client, "progress that moves", moves).await;
        assert!(is_untouched(client).await);
        click(client, "//button[text()='Cancel']").await;
        shows(client, "Last error").await;
        shows(client, "cancelled").await;
        let state = "return document.querySelector('dl .state')?.innerText === 'buried'";
        holds(client, "its state", state).await;
    });
    drop(worker);
}

#[test]
fn a_job_that_ends_while_it_is_looked_at_says_so() {
    let place = Sandbox::new();
    let file = place.path("go").display().to_string();
    assert_eq!(place.run(WORKER, &["publish", "note", "--payload", "later", "--delay", "1h"]).code, 0);
    let served = Served::start(&place, &["--allow-changes"], &[]);
    assert_eq!(served.post("/jobs/1/delete", "").status, 303);
    let said = place.run(WORKER, &["publish", "until", "--payload", &file]);
    assert_eq!(said.code, 0, "{}", said.err);
    let worker = place.start(place.command(WORKER, &["work"]));
    until("the job runs", || served.page("/workers").contains("href=\"/jobs/2\""));
    let browser = Browser::start();
    browser.run(async |client| {
        open(client, &format!("http://{}/jobs/2", served.address)).await;
        shows(client, "running; its lease ends").await;
        std::fs::write(&file, "").expect("written");
        shows(client, "there is no job 2: it is done").await;
        assert!(is_untouched(client).await);
        let rest = evaluate(client, "return document.querySelectorAll('[data-live], form').length").await;
        assert_eq!(rest.as_u64(), Some(0), "nothing is left to click");
    });
    drop(worker);
}

#[test]
fn eight_tabs_are_open_and_each_is_live_when_it_is_looked_at() {
    let place = Sandbox::new();
    some_jobs(&place, 1);
    let served = Served::start(&place, &[], &[]);
    let home = format!("http://{}/", served.address);
    let browser = Browser::start();
    browser.run(async |client| {
        let first = client.window().await.expect("a tab");
        open(client, &home).await;
        for _ in 1..8 {
            let next = client.new_window(true).await.expect("a tab").handle;
            client.switch_to_window(next).await.expect("there");
            open(client, &home).await;
        }
        let said = place.run(WORKER, &["publish", "talk", "--payload", "news"]);
        assert_eq!(said.code, 0, "{}", said.err);
        shows(client, "talk").await;
        // One that was hidden catches up.
        client.switch_to_window(first).await.expect("there");
        shows(client, "talk").await;
        assert!(is_untouched(client).await);
    });
}

#[test]
fn an_edit_by_the_command_line_is_shown_soon() {
    for place in [Sandbox::new(), Sandbox::with_postgres()] {
        some_jobs(&place, 1);
        let publish = ["publish", "note", "--payload", "later", "--delay", "2h"];
        let said = place.run(WORKER, &publish);
        assert_eq!(said.code, 0, "{}", said.err);
        let id = said.out.trim_end().rsplit(' ').next().expect("an id").to_owned();
        let served = Served::start(&place, &[], &[]);
        let browser = Browser::start();
        browser.run(async |client| {
            // The counts stay as they are.
            open(client, &format!("http://{}/jobs/{id}", served.address)).await;
            // The charts move each minute, and the whole page with them. A machine that does other things too may be slow
            // now and then.
            let mut took = Vec::new();
            for priority in ["1234567", "2345678", "3456789"] {
                let soon = std::time::Instant::now();
                let said = place.run(WORKER, &["edit", &id, "--priority", priority, "--delay", "3h"]);
                assert_eq!(said.code, 0, "{}", said.err);
                shows(client, priority).await;
                took.push(soon.elapsed().as_secs());
            }
            assert!(took.iter().any(|took| *took < 30) && is_untouched(client).await, "{took:?} s");
        });
    }
}

#[test]
fn ten_visible_windows_are_live_at_once() {
    let place = Sandbox::new();
    some_jobs(&place, 1);
    let served = Served::start(&place, &[], &[]);
    let home = format!("http://{}/", served.address);
    let browser = Browser::start();
    browser.run(async |client| {
        let mut windows = Vec::new();
        for _ in 0..10 {
            let next = client.new_window(false).await.expect("a window").handle;
            client.switch_to_window(next.clone()).await.expect("there");
            open(client, &home).await;
            windows.push(next);
        }
        let said = place.run(WORKER, &["publish", "talk", "--payload", "news"]);
        assert_eq!(said.code, 0, "{}", said.err);
        for window in windows {
            client.switch_to_window(window).await.expect("there");
            let hidden = evaluate(client, "return document.hidden").await;
            assert_eq!(hidden.as_bool(), Some(false), "each window is visible");
            shows(client, "talk").await;
            assert!(is_untouched(client).await);
        }
    });
}
