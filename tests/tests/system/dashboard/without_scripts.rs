//! The dashboard in a real browser that runs no scripts.

use fantoccini::Locator;
use pulpo_tests::browser::{Browser, arrives, choose, click, devtools, fill, find, shows};
use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;
use serde_json::{Value, json};

use super::browser::paused;
use super::{Served, WORKER, some_jobs};

/// Counts the jobs in this state.
fn count(place: &Sandbox, state: &str) -> usize {
    let said = place.run(WORKER, &["list", "--state", state, "--limit", "0", "--json"]);
    serde_json::from_str::<Value>(&said.out).expect("JSON").as_array().expect("a list").len()
}

#[test]
fn without_scripts_an_operator_sees_and_does_the_same() {
    let place = Sandbox::new();
    some_jobs(&place, 60);
    let served = Served::start(&place, &["--allow-changes"], &[("PULPO_DASHBOARD_TOKEN", "open sesame")]);
    let home = format!("http://{}", served.address);
    let browser = Browser::start();
    browser.run(async |client| {
        devtools(client, "Emulation.setScriptExecutionDisabled", &json!({ "value": true })).await;
        client.goto(&home).await.expect("a page");
        fill(client, "#token", "open sesame").await;
        click(client, "//button[text()='Log in']").await;
        shows(client, "Last buried").await;
        // A link shows the changes.
        let said = place.run(WORKER, &["publish", "talk", "--payload", "news"]);
        assert_eq!(said.code, 0, "{}", said.err);
        click(client, "//footer//a[text()='Refresh this page']").await;
        shows(client, "talk").await;
        let live = find(client, Locator::Css("footer .live")).await;
        assert!(!live.is_displayed().await.expect("known"), "no script runs");

        click(client, "//nav//a[text()='Jobs']").await;
        arrives(client, "/jobs").await;
        choose(client, "select[name=state]", "buried").await;
        fill(client, "input[name=reason]", "no card").await;
        click(client, "//button[text()='Filter']").await;
        arrives(client, "newer=").await;
        click(client, "//a[text()='Older']").await;
        arrives(client, "after=11").await;
        click(client, "//td/input[@type='checkbox']").await;
        click(client, "//button[text()='Retry selected']").await;
        arrives(client, "/jobs?reason=no%20card&state=buried").await;
        assert_eq!(count(&place, "buried"), 59);
        click(client, "//td[@data-label='ID']/a").await;
        shows(client, "Last error").await;
        click(client, "//button[text()='Delete']").await;
        arrives(client, "/jobs").await;
        assert_eq!(count(&place, "buried"), 58);

        client.goto(&format!("{home}/jobs?state=delayed")).await.expect("a page");
        click(client, "//td[@data-label='ID']/a").await;
        click(client, "//summary[text()='Edit']").await;
        fill(client, "input[name=priority]", "1234567").await;
        click(client, "//button[text()='Save']").await;
        shows(client, "1234567").await;

        click(client, "//nav//a[text()='Queues']").await;
        arrives(client, "/queues").await;
        choose(client, "select[aria-label='How long to pause notes']", "1h").await;
        click(client, "//tr[.//a[text()='notes']]//button[text()='Pause']").await;
        shows(client, "until in ").await;
        click(client, "//tr[.//a[text()='notes']]//button[text()='Resume']").await;
        find(client, Locator::XPath(&paused("notes", "no"))).await;

        client.goto(&format!("{home}/jobs?state=buried")).await.expect("a page");
        click(client, "//input[@name='sure']").await;
        click(client, "//button[text()='Retry all buried']").await;
        // The page refreshes until it is done.
        shows(client, "Done: retried 58 jobs of 58.").await;

        // Only one is left, which runs until it is told to end.
        let said = place.run(WORKER, &["purge", "--all", "--yes"]);
        assert_eq!(said.code, 0, "{}", said.err);
        let release = place.path("release");
        let body = json!(release.display().to_string()).to_string();
        let said = place.run(WORKER, &["publish", "until", "--body", &body, "--priority", "0"]);
        assert_eq!(said.code, 0, "{}", said.err);
        let worker = place.start(place.command(WORKER, &["work", "--log-level", "error"]));
        until("it runs", || count(&place, "reserved") > 0);
        click(client, "//nav//a[text()='Workers']").await;
        arrives(client, "/workers").await;
        click(client, "//td[@data-label='Job']/a").await;
        click(client, "//button[text()='Cancel']").await;
        shows(client, "cancelled").await;
        std::fs::write(release, "").expect("written");
        until("it is buried", || count(&place, "buried") > 0);
        click(client, "//footer//a[text()='Refresh this page']").await;
        shows(client, "Last error").await;
        worker.signal("TERM");
        assert_eq!(worker.end(), 0);
        click(client, "//button[text()='Log out']").await;
        shows(client, "Token").await;
    });
}
