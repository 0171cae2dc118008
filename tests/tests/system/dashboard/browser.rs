//! The dashboard in a real browser.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fantoccini::key::Key;
use fantoccini::{Client, Locator};
use pulpo_tests::browser::Browser;
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

/// Waits until the page shows this text.
pub(super) async fn shows(client: &Client, text: &str) {
    let began = Instant::now();
    loop {
        let shown = client.execute("return document.body.innerText", Vec::new()).await.expect("a text");
        if shown.as_str().is_some_and(|shown| shown.contains(text)) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(90), "waited in vain for {text:?} in {shown}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(super) async fn click(client: &Client, path: &str) {
    client.find(Locator::XPath(path)).await.expect(path).click().await.expect(path);
}

async fn number(client: &Client, script: &str) -> f64 {
    client.execute(script, Vec::new()).await.expect("a value").as_f64().expect("a number")
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
        client
            .find(Locator::Css("select[name=state]"))
            .await
            .expect("a field")
            .select_by_value("buried")
            .await
            .expect("chosen");
        client
            .find(Locator::Css("input[name=reason]"))
            .await
            .expect("a field")
            .send_keys("no card")
            .await
            .expect("typed");
        click(client, "//button[text()='Filter']").await;
        shows(client, "no card").await;
        picture(client, "jobs.png").await;
        click(client, "//td[@data-label='ID']/a").await;
        shows(client, "Last error").await;
        picture(client, "job.png").await;
        client.back().await.expect("back");
        // Retry all jobs that match, with a progress bar.
        // A transaction blocks all writers for a moment, so that the first part takes until the page is seen.
        let writer = rusqlite::Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
        writer.busy_timeout(Duration::from_secs(10)).expect("set");
        writer.execute_batch("BEGIN IMMEDIATE").expect("the turn to write");
        click(client, "//input[@name='sure']").await;
        click(client, "//button[text()='Retry all buried']").await;
        shows(client, "retried 0 of 10,000").await;
        let progress = "const bar = document.querySelector('progress'); return bar.value / bar.max";
        assert!(number(client, progress).await < 1.0, "it has only begun");
        picture(client, "task.png").await;
        writer.execute_batch("COMMIT").expect("an end");
        shows(client, "Done: retried 10,000 jobs of 10,000").await;
        assert!(number(client, progress).await >= 1.0, "it is done");
        // Pause and resume a queue.
        click(client, "//nav//a[text()='Queues']").await;
        click(client, "//tr[.//a[text()='notes']]//button[text()='Pause']").await;
        shows(client, "until resumed").await;
        picture(client, "queues.png").await;
        click(client, "//tr[.//a[text()='notes']]//button[text()='Resume']").await;
        shows(client, "no").await;
    });
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
        client.execute("window.untouched = true", Vec::new()).await.expect("set");
        let said = place.run(super::WORKER, &["publish", "talk", "--payload", "news"]);
        assert_eq!(said.code, 0, "{}", said.err);
        shows(client, "talk").await;
        let kept = client.execute("return window.untouched === true", Vec::new()).await.expect("a value");
        assert_eq!(kept.as_bool(), Some(true), "the page was not loaded again");
        let script = "return performance.getEntriesByType('resource').map(one => one.name)";
        let loaded = client.execute(script, Vec::new()).await.expect("a list");
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
        // A change, and its display.
        click(client, "//nav//a[text()='Queues']").await;
        click(client, "//tr[.//a[text()='pulpo']]//button[text()='Pause']").await;
        shows(client, "until resumed").await;
        let asked = pulpo_tests::browser::requests(client).await;
        // Built-in pages of the browser, such as its initial tab, cause no network requests.
        let is_within = |one: &str| one.starts_with("data:") || one.starts_with("chrome://");
        let elsewhere: Vec<_> = asked.iter().filter(|one| !one.starts_with(&home) && !is_within(one)).collect();
        assert!(elsewhere.is_empty(), "{elsewhere:?}");
        let seen = |part: &str| asked.iter().any(|one| one.ends_with(part));
        assert!(seen("/assets/script.js") && seen("/events") && seen("/queues/pause"), "{asked:#?}");
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
        shows(client, "Error contains").await;
        // Filter by typing, and by Enter in the field.
        tab_to(client, "reason").await;
        client.active_element().await.expect("a field").send_keys("no card").await.expect("typed");
        press(client, Key::Enter).await;
        shows(client, "Retry selected").await;
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
        let is_open = "return document.querySelector('details.edit').open";
        assert_eq!(client.execute(is_open, Vec::new()).await.expect("a value").as_bool(), Some(false));
        client.active_element().await.expect("the fold").send_keys(" ").await.expect("pressed");
        picture(client, "edit.png").await;
        tab_to(client, "Save").await;
        press(client, Key::Enter).await;
        let priority = "return [...document.querySelectorAll('dt')].find(name => name.innerText === 'Priority')\
                        ?.nextSibling.innerText === '7' ? 1 : 0";
        let began = Instant::now();
        while number(client, priority).await < 1.0 {
            assert!(began.elapsed() < Duration::from_secs(90), "the priority is not shown");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
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
        client.execute("document.querySelector('details.numbers').open = true", Vec::new()).await.expect("set");
        let said = place.run(super::WORKER, &["publish", "talk", "--payload", "news"]);
        assert_eq!(said.code, 0, "{}", said.err);
        shows(client, "talk").await;
        let is_open = client.execute("return document.querySelector('details.numbers').open", Vec::new()).await;
        assert_eq!(is_open.expect("a value").as_bool(), Some(true));
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
        let stop = client.execute(script, Vec::new()).await.expect("what has the focus");
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
    let text = client.execute("return document.activeElement.innerText", Vec::new()).await.expect("a text");
    text.as_str().unwrap_or_default().trim().to_owned()
}
