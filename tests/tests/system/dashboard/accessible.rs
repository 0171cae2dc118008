//! The pages for a screen reader, on a narrow screen, enlarged, and with forced colours.

use fantoccini::Client;
use pulpo_tests::browser::{Browser, devtools, evaluate};
use pulpo_tests::program::Sandbox;
use pulpo_tests::stored::insert;
use serde_json::{Value, json};

use super::{Served, some_jobs};

const PATHS: [&str; 8] =
    ["/", "/?span=month", "/jobs", "/jobs?state=buried", "/jobs/2", "/queues", "/schedules", "/workers"];

/// Adds jobs of types and queues with odd names: a long one, one that would turn the text around, and others.
fn odd_names(place: &Sandbox) {
    let database = rusqlite::Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
    for name in ["x".repeat(300).as_str(), "\u{202e}evil\u{2066}", "<b>bold</b>", "\u{1b}[31mred"] {
        let text = json!({ "header": { "request_type": name }, "body": { "text": name } }).to_string();
        insert(&database, "odd", name.as_bytes(), 0, text.as_bytes());
        insert(&database, name, b"odd", 3, text.as_bytes());
    }
}

/// Runs a test in a browser, on a dashboard that shows odd names. The test gets its address.
fn with_odd_names(test: impl AsyncFnOnce(&Client, &str)) {
    let place = Sandbox::new();
    some_jobs(&place, 3);
    odd_names(&place);
    let served = Served::start(&place, &["--allow-changes"], &[]);
    Browser::start().run(async |client| test(client, &format!("http://{}", served.address)).await);
}

/// Returns the roles and names of the controls of a page, as a screen reader gets them.
async fn controls(client: &Client) -> Vec<(String, String)> {
    let tree = devtools(client, "Accessibility.getFullAXTree", &json!({})).await;
    let nodes = tree["nodes"].as_array().expect("nodes").iter();
    let shown = nodes.filter(|node| node["ignored"].as_bool() != Some(true));
    let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
    let all = shown.map(|node| (text(&node["role"]), text(&node["name"])));
    const ROLES: [&str; 9] = [
        "button",
        "link",
        "textbox",
        "combobox",
        "checkbox",
        "spinbutton",
        "progressbar",
        "image",
        "DisclosureTriangle",
    ];
    all.filter(|(role, _)| ROLES.contains(&role.as_str())).collect()
}

#[test]
fn each_control_has_a_name_and_no_two_buttons_have_the_same() {
    with_odd_names(async |client, home| {
        for path in PATHS {
            client.goto(&format!("{home}{path}")).await.expect("a page");
            let controls = controls(client).await;
            assert!(controls.len() > 5, "{path}: {controls:?}");
            assert!(controls.iter().all(|(_, name)| !name.is_empty()), "{path}: {controls:?}");
            let mut buttons: Vec<_> = controls.iter().filter(|(role, _)| role == "button").collect();
            let count = buttons.len();
            buttons.sort();
            buttons.dedup();
            assert_eq!(buttons.len(), count, "{path}: {buttons:?}");
        }
    });
}

#[test]
fn it_fits_a_narrow_screen_and_twice_the_size() {
    with_odd_names(async |client, home| {
        // A desk's browser at 200 % has half the width.
        for (width, scale, mobile) in [(320, 2, true), (640, 2, false), (1024, 1, false)] {
            let size = json!({ "width": width, "height": 800, "deviceScaleFactor": scale, "mobile": mobile });
            devtools(client, "Emulation.setDeviceMetricsOverride", &size).await;
            for path in PATHS {
                client.goto(&format!("{home}{path}")).await.expect("a page");
                let script = "return document.documentElement.scrollWidth - innerWidth";
                let over = evaluate(client, script).await.as_f64().expect("a number");
                assert!(over <= 0.0, "{path} at {width}: {over}");
            }
        }
    });
}

#[test]
fn the_keys_of_the_pictures_keep_their_colours_where_colours_are_forced() {
    let place = Sandbox::new();
    some_jobs(&place, 3);
    let served = Served::start(&place, &[], &[]);
    let browser = Browser::start();
    browser.run(async |client| {
        let features = json!([
            { "name": "forced-colors", "value": "active" },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        devtools(client, "Emulation.setEmulatedMedia", &json!({ "features": features })).await;
        client.goto(&format!("http://{}/", served.address)).await.expect("a page");
        let script =
            "return [...document.querySelectorAll('.swatch')].map(one => getComputedStyle(one).backgroundColor)";
        let colours = evaluate(client, script).await;
        let mut colours: Vec<_> = colours.as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        let count = colours.len();
        colours.sort_unstable();
        colours.dedup();
        assert!(count >= 3 && colours.len() == count, "{colours:?}");
        let moves = evaluate(client, "return document.getAnimations().length").await;
        assert_eq!(moves.as_u64(), Some(0), "nothing moves");
    });
}

#[test]
fn names_that_a_browser_would_not_show_as_they_are_are_not_suggested() {
    let place = Sandbox::new();
    some_jobs(&place, 1);
    odd_names(&place);
    let served = Served::start(&place, &[], &[]);
    let page = served.page("/jobs");
    let types = page.split("<datalist id=\"types\">").nth(1).and_then(|rest| rest.split("</datalist>").next());
    let types = types.expect("a list of suggestions");
    assert!(types.contains("value=\"pay\"") && types.contains("value=\"&lt;b&gt;bold&lt;/b&gt;\""), "{types}");
    assert!(types.contains(&"x".repeat(300)), "it can be a filter: {types}");
    assert!(!page.contains('\u{202e}') && !page.contains('\u{1b}'), "{page}");
    assert!(page.contains("\\u{202e}evil\\u{2066}"), "{page}");
}
