//! `publish` with many messages.

use pulpo_tests::program::Sandbox;

use super::{WORKER, as_json, both, refused, well};

fn numbers(range: std::ops::Range<u32>) -> String {
    range.map(|number| format!("{{\"number\": {number}}}\n")).collect()
}

#[test]
fn each_line_of_a_file_is_a_job() {
    both(|place| {
        std::fs::write(place.path("jobs.jsonl"), numbers(1..2501)).expect("written");
        let sent = as_json(place, &["publish", "record", "--lines", "@jobs.jsonl", "--priority", "9", "--json"]);
        let ids = sent["ids"].as_array().expect("ids");
        assert_eq!(ids.len(), 2500);
        let last = as_json(place, &["peek", ids[2499].as_str().expect("an id"), "--json"]);
        assert_eq!((&last["message"]["body"]["number"], &last["priority"]), (&2500.into(), &9.into()));
        // Empty lines are ignored, and the last line needs no line end.
        let input = "\n{\"number\": 1}\r\n  \n{\"number\": 2}";
        let said = place.run_with_input(WORKER, &["publish", "record", "--lines", "-"], input);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        assert!(said.out.starts_with("published record 2 times, as messages "), "{}", said.out);
        let said = place.run_with_input(WORKER, &["publish", "record", "--lines", "-"], "\n");
        assert_eq!((said.code, said.out.as_str()), (0, "published nothing: there is no line with a body\n"));
    });
}

#[test]
fn a_bad_line_is_named_and_nothing_is_published() {
    both(|place| {
        let lines = "{\"number\": 1}\nnonsense\n{\"number\": \"3\"}\n{\"number\": 4}\n";
        std::fs::write(place.path("jobs"), lines).expect("written");
        let error = refused(place, 1, &["publish", "record", "--lines", "@jobs"]);
        let told: Vec<_> = error.lines().collect();
        assert_eq!(told.len(), 3, "{error}");
        assert!(told[0].starts_with("line 2 of jobs: expected JSON: expected ident"), "{error}");
        assert!(
            told[1].starts_with("line 3 of jobs: the body does not fit worker::Record of \"record\": body.number:"),
            "{error}"
        );
        assert_eq!(told[2], "error: 2 of 4 lines are bad, and nothing was published; --skip-bad skips them");
        assert!(place.is_on_a_server() || !place.path("pulpo-data").exists(), "nothing was opened");
        let said = place.run(WORKER, &["publish", "record", "--lines", "@jobs", "--skip-bad"]);
        assert_eq!((said.code, said.err.lines().count()), (0, 2), "{}", said.err);
        assert!(said.out.starts_with("published record 2 times"), "{}", said.out);
        let many = "x\n".repeat(50);
        let said = place.run_with_input(WORKER, &["publish", "record", "--lines", "-"], &many);
        assert!(said.err.contains("\nand 40 bad lines more\n"), "{}", said.err);
        let error = refused(place, 1, &["publish", "record", "--lines", "@nowhere"]);
        assert!(error.starts_with("error: cannot read nowhere: No such file"), "{error}");
    });
}

#[test]
fn a_batch_that_breaks_off_says_where_to_continue() {
    let place = Sandbox::with_beanstalkd();
    let big = format!("\"{}\"\n", "x".repeat(70_000));
    std::fs::write(place.path("jobs"), format!("\"a\"\n\n\"b\"\n{big}\"c\"\n")).expect("written");
    let error = refused(&place, 1, &["publish", "echo", "--lines", "@jobs"]);
    let expected = "error: published 2 of 4; continue with --from-line 4: ";
    assert!(error.starts_with(expected) && error.contains(" bytes and beanstalkd at "), "{error}");
    assert_eq!(well(&place, &["list"]).lines().count(), 3);
}

#[test]
fn headers_travel_along() {
    both(|place| {
        well(place, &["publish", "echo", "--payload", "x", "--header", "source=night=shift", "--header", "n=1"]);
        let header = &as_json(place, &["peek", "1", "--json"])["message"]["header"];
        assert_eq!((&header["source"], &header["n"]), (&"night=shift".into(), &"1".into()));
        let error = refused(place, 1, &["publish", "echo", "--payload", "x", "--header", "attempts=3"]);
        assert!(error.contains("the header `attempts` is reserved by pulpo"), "{error}");
    });
}

#[test]
fn a_body_is_published_as_its_type_writes_it() {
    both(|place| {
        // As the Python original writes a text, and as its Rust type does.
        let bodies = ["--body={\"payload\": \"hi\"}", "--body=\"hi\"", "--payload=hi"];
        for body in bodies {
            let sent = as_json(place, &["publish", "echo", body, "--json"]);
            let message = &as_json(place, &["peek", sent["ids"][0].as_str().expect("an id"), "--json"])["message"];
            assert_eq!(message["body"], serde_json::json!({"payload": "hi"}), "{body}");
            assert_eq!(message["header"]["body_wrapped"], true, "{body}");
        }
        let lines = "{\"payload\": \"one\"}\n \"two\" \n";
        let sent = place.run_with_input(WORKER, &["publish", "echo", "--lines", "-", "--json"], lines);
        let sent: serde_json::Value = serde_json::from_str(&sent.out).expect("JSON");
        for (at, expected) in ["one", "two"].iter().enumerate() {
            let peeked = as_json(place, &["peek", sent["ids"][at].as_str().expect("an id"), "--json"]);
            assert_eq!(peeked["message"]["body"], serde_json::json!({"payload": expected}));
        }
    });
}
