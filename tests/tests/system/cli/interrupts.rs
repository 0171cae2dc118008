//! Commands that are stopped halfway.

use std::io::Read as _;
use std::process::{Child, Stdio};

use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;
use serde_json::Value;

use super::{WORKER, as_json, refused, well};

fn numbers(range: std::ops::Range<u32>) -> String {
    range.map(|number| format!("{{\"number\": {number}}}\n")).collect()
}

fn signal(child: &Child, name: &str) {
    let sent = std::process::Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(sent.expect("run kill").success());
}

fn count(place: &Sandbox, arguments: &[&str]) -> u64 {
    let stats = as_json(place, &[&["stats", "--json"], arguments].concat());
    stats["counts"].as_array().expect("counts").iter().map(|one| one["ready"].as_u64().expect("a number")).sum()
}

/// Tries a test that interrupts a command. On a machine that is busy with other things, the command may have ended before
/// the signal comes.
fn try_until_interrupted(test: impl Fn() -> bool) {
    assert!((0..10).any(|_| test()), "each time, it was done before the signal came");
}

/// Starts a command, and sends the signal once some messages have been published or deleted.
fn interrupted(place: &Sandbox, arguments: &[&str], name: &str, begun: impl Fn() -> bool) -> (i32, String, String) {
    let mut command = place.command(WORKER, arguments);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    until("it has begun", begun);
    signal(&child, name);
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().expect("a pipe").read_to_string(&mut out).expect("a text");
    child.stderr.take().expect("a pipe").read_to_string(&mut err).expect("a text");
    (child.wait().expect("an end").code().unwrap_or(-1), out, err)
}

#[test]
fn lines_that_are_interrupted_say_how_many_are_published_and_how_to_continue() {
    const ALL: u32 = 200_000;
    let is_interrupted = |place: Sandbox, name: &str| {
        well(&place, &["publish", "record", "--body", r#"{"number": 0}"#]);
        // The first line is empty, so that line numbers differ from numbers of bodies.
        std::fs::write(place.path("jobs"), format!("\n{}", numbers(1..ALL + 1))).expect("written");
        let arguments = ["publish", "record", "--lines", "@jobs", "--json"];
        let (code, out, err) = interrupted(&place, &arguments, name, || count(&place, &[]) > 1);
        if code == 0 {
            assert_eq!(count(&place, &[]), u64::from(ALL) + 1, "all of them");
            return false;
        }
        assert_eq!(code, 1, "{err}");
        let told: Value = serde_json::from_str(&out).expect("JSON");
        let published = told["ids"].as_array().expect("ids").len() as u64;
        assert!(published > 0 && published < u64::from(ALL), "{published}");
        assert_eq!((&told["of"], &told["next_line"]), (&ALL.into(), &(published + 2).into()));
        assert_eq!(told["error"], "stopped by a signal");
        let line = published + 2;
        let expected =
            format!("error: published {published} of {ALL}; continue with --from-line {line}: stopped by a signal\n");
        assert_eq!(err, expected);
        assert_eq!(count(&place, &[]), published + 1, "no more and no less");
        // Continue as the error says, but with only a few lines.
        std::fs::write(place.path("jobs"), format!("\n{}", numbers(1..u32::try_from(line).expect("small") + 2)))
            .expect("written");
        let line = line.to_string();
        let rest = as_json(&place, &["publish", "record", "--lines", "@jobs", "--from-line", &line, "--json"]);
        let first = rest["ids"][0].as_str().expect("an id");
        let message = as_json(&place, &["peek", first, "--json"]);
        assert_eq!(message["message"]["body"]["number"], published + 1, "none is left out, and none twice");
        true
    };
    try_until_interrupted(|| is_interrupted(Sandbox::new(), "INT"));
    try_until_interrupted(|| is_interrupted(Sandbox::with_beanstalkd(), "TERM"));
}

#[test]
fn many_that_are_interrupted_say_how_many_are_left() {
    try_until_interrupted(|| {
        let place = Sandbox::new();
        well(&place, &["publish", "echo", "--payload", "x"]);
        let arguments = ["publish", "echo", "--payload", "x", "--count", "300000"];
        let (code, out, err) = interrupted(&place, &arguments, "INT", || count(&place, &[]) > 1);
        if code == 0 {
            assert_eq!(count(&place, &[]), 300_001, "all of them");
            return false;
        }
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        let published = count(&place, &[]) - 1;
        let left = 300_000 - published;
        assert_eq!(
            err,
            format!("error: published {published} of 300000; continue with --count {left}: stopped by a signal\n")
        );
        true
    });
}

#[test]
fn a_deletion_of_many_that_is_interrupted_says_how_many_are_deleted() {
    try_until_interrupted(|| {
        let place = Sandbox::new();
        well(&place, &["publish", "echo", "--payload", "x", "--count", "240000"]);
        let (code, out, err) =
            interrupted(&place, &["purge", "side", "--yes", "--json"], "INT", || count(&place, &[]) < 240_000);
        if code == 0 {
            assert_eq!(count(&place, &[]), 0, "all of them");
            return false;
        }
        assert_eq!(code, 1, "{err}");
        let told: Value = serde_json::from_str(&out).expect("JSON");
        let deleted = told["deleted"].as_u64().expect("a number");
        assert!(deleted > 0 && told["matched"] == 240_000, "{out}");
        assert_eq!(count(&place, &[]), 240_000 - deleted);
        let expected = format!(
            "error: deleted {deleted} of 240000 messages; run the same command again for the others: stopped by a signal\n"
        );
        assert_eq!(err, expected);
        true
    });
}

#[test]
fn a_line_to_begin_with_needs_lines() {
    let place = Sandbox::new();
    std::fs::write(place.path("jobs"), "nonsense\n{\"number\": 2}\n{\"number\": 3}\n").expect("written");
    let said = well(&place, &["publish", "record", "--lines", "@jobs", "--from-line", "2"]);
    assert_eq!(said, "published record 2 times, as messages 1 to 2\n", "the lines before are not looked at");
    let said = well(&place, &["publish", "record", "--lines", "@jobs", "--from-line", "9"]);
    assert_eq!(said, "published nothing: there is no line with a body\n");
    for wrong in [
        &["publish", "record", "--lines", "@jobs", "--from-line", "0"][..],
        &["publish", "record", "--body", "{}", "--from-line", "2"],
        &["publish", "record", "--from-line", "2"],
    ] {
        refused(&place, 2, wrong);
    }
}

#[test]
fn published_ids_are_reported_though_standard_output_is_full() {
    let place = Sandbox::new();
    let full = std::fs::File::options().write(true).open("/dev/full").expect("a full device");
    let mut command = place.command(WORKER, &["publish", "echo", "--payload", "x", "--count", "3", "--json"]);
    let ended = command.stdout(full).stderr(Stdio::piped()).output().expect("started");
    let err = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1));
    let expected = "error: published echo 3 times, as messages 1 to 3, but cannot print them: No space left on device";
    assert!(err.starts_with(expected), "{err}");
}
