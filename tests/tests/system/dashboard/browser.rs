//! The dashboard in a real browser.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fantoccini::key::Key;
use fantoccini::{Client, Locator};
use pulpo_tests::browser::{Browser, arrives, choose, click, evaluate, fill, find, holds, shows};
use pulpo_tests::program::Sandbox;

use super::{Served, some_jobs};

/// The number of jobs that are retried at once.
const MANY: usize = 10_000;

/// Returns the folder for screenshots of the pages, for people to look at.
pub(super) fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

async fn picture(client: &Client, name: &str) {
    std::fs::write(pictures().join(name), client.screenshot().await.expect("a picture")).expect("written");
}

async fn number(client: &Client, script: &str) -> f64 {
    evaluate(client, script).await.as_f64().expect("a number")
}

#[test]
fn an_operator_looks_filters_opens_retries_and_pauses() {
    let place = Sandbox::new();
    some_jobs(&place, MANY);
    let served = Served::start(&place, &["--allow-changes"], &[]);
    let home = format!("http://{}/", served.address);
    let browser = Browser::start();
    browser.run(async |client| {
        client.set_window_size(1280, 900).await.expect("a size");
        client.goto(&home).await.expect("a page");
        shows(client, "10,000").await;
        picture(client, "overview.png").await;
        // Filter the jobs, and open one.
        click(client, "//nav//a[text()='Jobs']").await;
        arrives(client, "/jobs").await;
        choose(client, "select[name=state]", "buried").await;
        fill(client, "input[name=reason]", "no card").await;
        click(client, "//button[text()='Filter']").await;
        arrives(client, "&newer=").await;
        let matching = client.current_url().await.expect("an address").to_string();
        picture(client, "jobs.png").await;
        click(client, "//td[@data-label='ID']/a").await;
        shows(client, "Last error").await;
        picture(client, "job.png").await;
        client.back().await.expect("back");
        arrives(client, "&newer=").await;
        // Retry all jobs that match, with a progress bar.
        let writer = rusqlite::Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
        writer.busy_timeout(Duration::from_secs(10)).expect("set");
        retry_all(client, &writer, &matching).await;
        picture(client, "task.png").await;
        shows(client, "Done: retried 10,000 jobs of 10,000").await;
        holds(client, "a full bar", "const bar = document.querySelector('progress'); return bar.value === bar.max")
            .await;
        // Pause and resume a queue.
        click(client, "//nav//a[text()='Queues']").await;
        click(client, "//tr[.//a[text()='notes']]//button[text()='Pause']").await;
        find(client, Locator::XPath(&paused("notes", "until resumed"))).await;
        picture(client, "queues.png").await;
        click(client, "//tr[.//a[text()='notes']]//button[text()='Resume']").await;
        find(client, Locator::XPath(&paused("notes", "no"))).await;
    });
}

/// Retries all jobs that match, and sees that it has begun. A transaction blocks all writers for a moment, so that the
/// first part takes until the page is seen. A task gives up if that takes ten seconds, as on a machine that does other
/// things too: then it is started again.
async fn retry_all(client: &Client, writer: &rusqlite::Connection, matching: &str) {
    for _ in 0..5 {
        client.goto(matching).await.expect("a page");
        click(client, "//input[@name='sure']").await;
        writer.execute_batch("BEGIN IMMEDIATE").expect("the turn to write");
        click(client, "//button[text()='Retry all buried']").await;
        let begun = "const text = document.querySelector('[role=status]')?.innerText ?? '';
            const bar = document.querySelector('progress');
            return text.startsWith('Failed after 0 ') || text.startsWith('retried 0 of 10,000') && bar.value < bar.max";
        holds(client, "a task that has begun", begun).await;
        writer.execute_batch("COMMIT").expect("an end");
        // It either ends well or has waited for too long.
        let ended = "return /Done: |Failed after /.test(document.body?.innerText ?? '')";
        holds(client, "its end", ended).await;
        if evaluate(client, "return document.body.innerText.includes('Done: ')").await == true {
            return;
        }
    }
    panic!("the machine is too slow to see a task begin");
}

/// Returns the place where the page of the queues shows whether this one is paused.
pub(super) fn paused(queue: &str, shown: &str) -> String {
    format!("//tr[.//a[text()='{queue}']]/td[@data-label='Paused']/span[text()='{shown}']")
}

#[test]
fn changes_are_shown_without_a_reload_and_come_from_nowhere_else() {
    let place = Sandbox::new();
    some_jobs(&place, 3);
    let served = Served::start(&place, &[], &[]);
    let browser = Browser::start();
    browser.run(async |client| {
        client.goto(&format!("http://{}/", served.address)).await.expect("a page");
        shows(client, "Live").await;
        evaluate(client, "window.untouched = true").await;
        let said = place.run(super::WORKER, &["publish", "talk", "--payload", "news"]);
        assert_eq!(said.code, 0, "{}", said.err);
        shows(client, "talk").await;
        let kept = evaluate(client, "return window.untouched === true").await;
        assert_eq!(kept.as_bool(), Some(true), "the page was not loaded again");
        let loaded = evaluate(client, "return performance.getEntriesByType('resource').map(one => one.name)").await;
        let loaded: Vec<_> = loaded.as_array().expect("a list").iter().filter_map(|name| name.as_str()).collect();
        let ours = format!("http://{}/", served.address);
        assert!(loaded.len() >= 2 && loaded.iter().all(|name| name.starts_with(&ours)), "{loaded:?}");
    });
}

#[test]
fn no_request_leaves_the_machine() {
    let place = Sandbox::new();
    some_jobs(&place, 3);
    let served = Served::start(&place, &["--allow-changes"], &[]);
    let home = format!("http://{}", served.address);
    let browser = Browser::start();
    browser.run(async |client| {
        let paths = [
            "/",
            "/?span=month",
            "/jobs?state=buried",
            "/jobs/1",
            "/queues",
            "/schedules",
            "/workers",
            "/jobs/99",
            "/nowhere",
        ];
        for path in paths {
            client.goto(&format!("{home}{path}")).await.expect("a page");
        }
        client.goto(&home).await.expect("a page");
        shows(client, "Live").await;
        // A change, and its display.
        click(client, "//nav//a[text()='Queues']").await;
        click(client, "//tr[.//a[text()='pulpo']]//button[text()='Pause']").await;
        shows(client, "until resumed").await;
        let mut asked = pulpo_tests::browser::requests(client).await;
        let seen = |asked: &[String], part: &str| asked.iter().any(|one| one.ends_with(part));
        let are_seen = |asked: &[String]| {
            ["/assets/script.js", "/events", "/queues/pause"].into_iter().all(|part| seen(asked, part))
        };
        // The page may show the answer before the browser logs the request.
        let end = Instant::now() + Duration::from_secs(30);
        while !are_seen(&asked) && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(50)).await;
            asked.extend(pulpo_tests::browser::requests(client).await);
        }
        // Built-in pages of the browser, such as its initial tab, cause no network requests.
        let is_within = |one: &str| one.starts_with("data:") || one.starts_with("chrome://");
        let elsewhere: Vec<_> = asked.iter().filter(|one| !one.starts_with(&home) && !is_within(one)).collect();
        assert!(elsewhere.is_empty(), "{elsewhere:?}");
        assert!(are_seen(&asked), "{asked:#?}");
    });
}

#[test]
fn it_fits_a_phone_and_a_wide_screen_in_dark_and_in_light() {
    let place = Sandbox::new();
    some_jobs(&place, 30);
    let served = Served::start(&place, &["--allow-changes"], &[]);
    let home = format!("http://{}", served.address);
    let browser = Browser::start();
    browser.run(async |client| {
        for scheme in ["light", "dark"] {
            let emulate = serde_json::json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            pulpo_tests::browser::devtools(client, "Emulation.setEmulatedMedia", &emulate).await;
            for width in [390, 1280, 2200] {
                let size = serde_json::json!(
                    { "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500 }
                );
                pulpo_tests::browser::devtools(client, "Emulation.setDeviceMetricsOverride", &size).await;
                for (name, path) in [
                    ("overview", "/"),
                    ("jobs", "/jobs"),
                    ("job", "/jobs/1"),
                    ("queues", "/queues"),
                    ("schedules", "/schedules"),
                    ("workers", "/workers"),
                ] {
                    client.goto(&format!("{home}{path}")).await.expect("a page");
                    picture(client, &format!("{name}-{width}-{scheme}.png")).await;
                    // Nothing is cut off at the side.
                    let script = "return document.documentElement.scrollWidth - window.innerWidth";
                    assert!(number(client, script).await <= 0.0, "{path} at {width}");
                }
            }
            let script = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]";
            let red = number(client, script).await;
            assert_eq!(red < 100.0, scheme == "dark", "{scheme}: {red}");
        }
    });
}

#[test]
fn the_keyboard_alone_retries_a_job() {
    let place = Sandbox::new();
    some_jobs(&place, 1);
    let served = Served::start(&place, &["--allow-changes"], &[]);
    let browser = Browser::start();
    browser.run(async |client| {
        client.goto(&format!("http://{}/jobs/1", served.address)).await.expect("a page");
        // The first Tab stop leads to the content.
        press(client, Key::Tab).await;
        assert_eq!(focused(client).await, "Skip to content");
        press(client, Key::Enter).await;
        for _ in 0..20 {
            press(client, Key::Tab).await;
            if focused(client).await == "Retry" {
                press(client, Key::Enter).await;
                shows(client, "no worker serves its queue").await;
                return;
            }
        }
        panic!("no way to the button by the keyboard");
    });
}

#[test]
fn the_keyboard_alone_filters_selects_and_edits() {
    let place = Sandbox::new();
    some_jobs(&place, 3);
    let served = Served::start(&place, &["--allow-changes"], &[]);
    let home = format!("http://{}", served.address);
    let browser = Browser::start();
    browser.run(async |client| {
        client.goto(&format!("{home}/")).await.expect("a page");
        tab_to(client, "Jobs").await;
        press(client, Key::Enter).await;
        arrives(client, "/jobs").await;
        // Filter by typing, and by Enter in the field.
        tab_to(client, "reason").await;
        client.active_element().await.expect("a field").send_keys("no card").await.expect("typed");
        press(client, Key::Enter).await;
        arrives(client, "&newer=").await;
        // Space selects, Enter retries.
        tab_to(client, "Select job 2").await;
        client.active_element().await.expect("a box").send_keys(" ").await.expect("pressed");
        tab_to(client, "Retry selected").await;
        press(client, Key::Enter).await;
        shows(client, "no worker serves its queue · no card").await;
        // Escape closes the part that Enter has opened; the typed text stays.
        client.goto(&format!("{home}/jobs/2")).await.expect("a page");
        tab_to(client, "Edit").await;
        press(client, Key::Enter).await;
        tab_to(client, "priority").await;
        client.active_element().await.expect("a field").send_keys("7").await.expect("typed");
        press(client, Key::Escape).await;
        assert_eq!(focused(client).await, "Edit");
        let is_open = evaluate(client, "return document.querySelector('details.edit').open").await;
        assert_eq!(is_open.as_bool(), Some(false));
        client.active_element().await.expect("the fold").send_keys(" ").await.expect("pressed");
        picture(client, "edit.png").await;
        tab_to(client, "Save").await;
        press(client, Key::Enter).await;
        let priority = "return [...document.querySelectorAll('dt')].find(name => name.innerText === 'Priority')\
                        ?.nextSibling.innerText === '7'";
        holds(client, "the new priority", priority).await;
    });
}

#[test]
fn an_unfolded_part_stays_unfolded_when_the_page_is_refreshed() {
    let place = Sandbox::new();
    some_jobs(&place, 3);
    let served = Served::start(&place, &[], &[]);
    let browser = Browser::start();
    browser.run(async |client| {
        client.goto(&format!("http://{}/", served.address)).await.expect("a page");
        shows(client, "Live").await;
        evaluate(client, "document.querySelector('details.numbers').open = true").await;
        let said = place.run(super::WORKER, &["publish", "talk", "--payload", "news"]);
        assert_eq!(said.code, 0, "{}", said.err);
        shows(client, "talk").await;
        let is_open = evaluate(client, "return document.querySelector('details.numbers').open").await;
        assert_eq!(is_open.as_bool(), Some(true));
    });
}

/// Presses Tab until the element of this name, label or text has the focus. Checks that each stop
/// is visible.
async fn tab_to(client: &Client, name: &str) {
    let script = "const it = document.activeElement;
        const style = getComputedStyle(it);
        const seen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
        return [it.name || it.ariaLabel || it.innerText.trim(), it.ariaLabel, it.innerText.trim(), seen || it === document.body]";
    let mut stops = Vec::new();
    for _ in 0..60 {
        press(client, Key::Tab).await;
        let stop = evaluate(client, script).await;
        assert_eq!(stop[3].as_bool(), Some(true), "one does not see the focus on {stop}");
        if stop.as_array().is_some_and(|names| names[..3].iter().any(|of| of.as_str() == Some(name))) {
            return;
        }
        stops.push(stop[0].clone());
    }
    panic!("no way to {name:?} by the keyboard: {stops:?}");
}

async fn press(client: &Client, key: Key) {
    client
        .active_element()
        .await
        .expect("an element")
        .send_keys(&String::from(char::from(key)))
        .await
        .expect("pressed");
}

async fn focused(client: &Client) -> String {
    let text = evaluate(client, "return document.activeElement.innerText").await;
    text.as_str().unwrap_or_default().trim().to_owned()
}
