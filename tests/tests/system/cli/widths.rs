//! Output on narrow and on wide terminals.

use std::process::{Command, Stdio};

use pulpo_tests::program::Sandbox;
use pulpo_tests::stored;
use pulpo_tests::wait::until;

use super::terminal::{at_a_terminal_by, at_a_terminal_of, at_a_terminal_sized};
use super::{drain, well};

/// Returns the screen of a terminal of this width.
fn screen(place: &Sandbox, columns: u16, arguments: &str) -> String {
    shown_by(super::WORKER, place, columns, arguments)
}

fn shown_by(program: &str, place: &Sandbox, columns: u16, arguments: &str) -> String {
    let mut command: Command = at_a_terminal_by(program, place, columns, arguments);
    let output = command.env("NO_COLOR", "1").stdin(Stdio::null()).output().expect("started");
    String::from_utf8(output.stdout).expect("text").replace("\r\n", "\n")
}

/// Returns all that a `--watch` writes, to the end of its second table.
fn two_looks(mut watch: Command) -> String {
    let mut child = watch.env("NO_COLOR", "1").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("started");
    let mut out = child.stdout.take().expect("a pipe");
    let mut text = String::new();
    while text.matches("\u{1b}[J").count() < 2 {
        let mut part = [0; 4096];
        let more = std::io::Read::read(&mut out, &mut part).expect("more");
        assert!(more > 0, "it ended: {text}");
        text.push_str(&String::from_utf8_lossy(&part[..more]));
    }
    child.kill().expect("killed");
    drop(out);
    child.wait().expect("an end");
    text
}

/// Returns the columns that a line takes. The wide characters of these tests are ideographs and emoji.
fn width(line: &str) -> usize {
    line.chars()
        .map(|c| if matches!(c, '\u{1100}'..='\u{ffdc}' if c > '\u{2e7f}') || c > '\u{1f000}' { 2 } else { 1 })
        .sum()
}

fn fill(place: &Sandbox) {
    well(place, &["publish", "echo", "--payload", "bad"]);
    drain(place);
    well(place, &["publish", "echo", "--payload", "x", "--count", "12345"]);
    well(place, &["publish", "record", "--body", r#"{"number": 1}"#, "--delay", "1h"]);
    let database = rusqlite::Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
    let error = "mail server 127.0.0.1:2525: Connection refused (os error 111) (attempt 3 of 3)";
    database.execute("UPDATE message SET last_error = ?1 WHERE state = 3", [error]).expect("set");
    let id = stored::insert(&database, "注文の列", "注文を確認".as_bytes(), 3, b"{}");
    let error = "住所が見つかりません 🚚 届けられません";
    database.execute("UPDATE message SET last_error = ?1 WHERE id = ?2", rusqlite::params![error, id]).expect("set");
}

#[test]
fn no_word_is_broken_and_no_line_too_wide_on_any_terminal() {
    let place = Sandbox::new();
    fill(&place);
    for columns in [40, 60, 80, 200] {
        for (arguments, words) in [
            ("handlers", &["echo,", "worker::Echo", "side", "1s..1h", "tests/src/bin/worker.rs:37"][..]),
            ("stats", &["echo", "12345", "注文を確認", "READY", "BURIED"]),
            ("list --state buried", &["buried", "echo", "127.0.0.1:2525:", "Connection", "注文を確認"]),
            ("peek 1", &["buried", "127.0.0.1:2525:", "Connection", "refused", "\"request_type\":"]),
            (
                "config",
                &["shutdown_after_number_of_empty_iterations", "beanstalkd_queue_adapter.socket_timeout", "default"],
            ),
        ] {
            let text = screen(&place, columns, arguments);
            for line in text.lines() {
                assert!(width(line) <= usize::from(columns), "{arguments} at {columns}: {line}\n{text}");
            }
            for word in words {
                let there = text.split_whitespace().any(|shown| shown == *word);
                let too_long = width(word) + 1 > usize::from(columns);
                let defined_at = word.contains(".rs:") && text.contains("worker.rs:");
                assert!(there || too_long || defined_at, "{arguments} at {columns} without {word}:\n{text}");
            }
        }
    }
}

#[test]
fn warnings_errors_and_what_was_changed_fit_any_terminal() {
    let place = Sandbox::new();
    fill(&place);
    let wide = "注文を確認する仕事".repeat(5);
    for columns in [40, 80] {
        for (arguments, words) in [
            ("peek 999999 999998", &["999998:", "never"][..]),
            (&format!("kick --type {wide}"), &["warning:", "kicked", "messages"]),
            (&format!("pause {wide}"), &["warning:", "paused", "resumed"]),
            (&format!("resume {wide}"), &["resumed"]),
            ("cancel 1", &["error:", "buried,", "cancelled"]),
            ("publish nope --payload x", &["error:", "serves:"]),
            ("move --to file:./another_folder_for_the_queue --dry-run", &["would", "delayed,", "running"]),
        ] {
            let text = screen(&place, columns, arguments);
            for line in text.lines() {
                assert!(width(line) <= usize::from(columns), "{arguments} at {columns}: {line}\n{text}");
            }
            for word in words {
                assert!(text.split_whitespace().any(|shown| shown == *word), "{arguments} without {word}:\n{text}");
            }
        }
    }
}

#[test]
fn schedules_outboxes_and_spools_fit_any_terminal() {
    let place = Sandbox::new();
    // Creates the queue.
    well(&place, &["publish", "echo", "--payload", "x"]);
    let mut outbox = rusqlite::Connection::open(place.path("shop.db")).expect("opened");
    pulpo::outbox::create(&mut outbox).expect("a table");
    let long = "calculate_the_monthly_statement_of_accounts";
    let to_nowhere = "--set spool=file:./spool --set queue=beanstalkd://127.0.0.1:1/echo";
    for body in ["x", long] {
        let publish = format!("publish echo --payload {body} {to_nowhere}");
        let said = place.run(super::WORKER, &publish.split(' ').collect::<Vec<_>>());
        assert_eq!(said.code, 0, "{}", said.err);
    }
    for columns in [40, 60, 80, 200] {
        for (arguments, words) in [
            ("outbox --set outbox=sqlite:shop.db", &["waiting,", "refused"][..]),
            (&format!("spool {to_nowhere}"), &["echo", "wait", "server,"]),
            ("stats --set spool=file:./spool", &["READY", "BURIED"]),
        ] {
            let text = screen(&place, columns, arguments);
            for line in text.lines() {
                assert!(width(line) <= usize::from(columns), "{arguments} at {columns}: {line}\n{text}");
            }
            for word in words {
                let there = text.split_whitespace().any(|shown| shown == *word);
                assert!(there, "{arguments} at {columns} without {word}:\n{text}");
            }
        }
    }
}

#[test]
fn a_table_of_schedules_fits_any_terminal() {
    let place = Sandbox::new();
    let program = env!("CARGO_BIN_EXE_scheduled_worker");
    // Creates the queue.
    well(&place, &["publish", "echo", "--payload", "x"]);
    for columns in [40, 60, 80, 200] {
        let text = shown_by(program, &place, columns, "schedule");
        for line in text.lines() {
            assert!(width(line) <= usize::from(columns), "at {columns}: {line}\n{text}");
        }
        for word in ["report", "tick", "new", "NAME", "STATE"] {
            assert!(text.split_whitespace().any(|shown| shown == word), "at {columns} without {word}:\n{text}");
        }
    }
}

#[test]
fn workers_done_messages_and_the_check_fit_any_terminal() {
    let place = Sandbox::new();
    let program = env!("CARGO_BIN_EXE_cancelled_worker");
    for publish in [["publish", "quick", "--body", "null"], ["publish", "long", "--body", "\"done\""]] {
        assert_eq!(place.run(program, &publish).code, 0);
    }
    let keep = ["work", "--concurrency", "2", "--set", "keep_done=1h", "--log-level", "error"];
    let worker = place.start(place.command(program, &keep));
    until("one is done, and one has said how far it is", || {
        place.run(program, &["list", "--state", "done"]).out.contains("quick")
            && place.run(program, &["workers"]).out.contains("row 1 of 4")
    });
    for columns in [40, 60, 80, 200] {
        for (arguments, words) in [
            ("workers", &["long", "25%", "pulpo"][..]),
            ("list --state done", &["done", "quick"]),
            ("check", &["handlers,", "wrong"]),
        ] {
            let text = shown_by(program, &place, columns, arguments);
            for line in text.lines() {
                assert!(width(line) <= usize::from(columns), "{arguments} at {columns}: {line}\n{text}");
            }
            for word in words {
                let there = text.split_whitespace().any(|shown| shown == *word);
                assert!(there, "{arguments} at {columns} without {word}:\n{text}");
            }
        }
    }
    drop(worker);
}

#[test]
fn a_watch_that_is_taller_than_the_terminal_is_cut() {
    let place = Sandbox::new();
    well(&place, &["publish", "echo", "--payload", "x"]);
    let database = rusqlite::Connection::open(place.path("pulpo-data/queue.db")).expect("opened");
    for n in 0..30 {
        stored::insert(&database, &format!("queue-{n}"), b"echo", 3, b"{}");
    }
    let text = two_looks(at_a_terminal_sized(super::WORKER, &place, (80, 12), "stats --watch 100ms"));
    let look = text.split("\u{1b}[H").nth(1).and_then(|rest| rest.split("\u{1b}[J").next()).expect("a screen");
    assert_eq!(look.matches('\n').count(), 11, "{look}");
    // The time, the heads, 31 rows and their sum.
    assert!(look.contains("every 100ms") && look.contains("… 24 more rows"), "{look}");
}

#[test]
fn a_watch_of_eighty_columns_shows_all_that_it_counts() {
    let place = Sandbox::new();
    well(&place, &["publish", "echo", "--payload", "x", "--count", "12345"]);
    let table = |columns| {
        let text = two_looks(at_a_terminal_of(&place, columns, "stats --watch 100ms"));
        text.replace("\r\n", "\n").replace("\u{1b}[K", "").split("\u{1b}[H").nth(2).expect("a screen").to_owned()
    };
    let wide = table(200);
    assert!(wide.contains("  PUBLISHED/S  FINISHED/S\n"), "{wide}");
    let narrow = table(80);
    assert!(
        narrow.contains(" READY  DELAY  RESRV  BURIED  TOTAL  OLDEST") && narrow.contains("IN/S  OUT/S\n"),
        "{narrow}"
    );
    assert!(narrow.lines().all(|line| width(line.trim_end_matches("\u{1b}[J")) <= 80), "{narrow}");
    let narrowest = table(40);
    assert!(narrowest.contains("not shown on a terminal of this width:\nDELAYED, "), "{narrowest}");
    assert!(narrowest.lines().all(|line| width(line.trim_end_matches("\u{1b}[J")) <= 40), "{narrowest}");
    assert!(narrowest.contains(" 12345"), "{narrowest}");
}

#[test]
fn for_programs_a_row_is_a_line_however_long() {
    let place = Sandbox::new();
    fill(&place);
    let list = well(&place, &["list", "--state", "buried"]);
    assert_eq!(list.lines().count(), 3, "{list}");
    assert!(list.contains("Connection refused (os error 111) (attempt 3 of 3)\n"), "{list}");
    assert!(list.starts_with(" ID     STATE   TYPE"), "{list}");
    assert_eq!(well(&place, &["handlers"]).lines().count(), 4);
}
