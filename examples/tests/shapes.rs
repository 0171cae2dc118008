//! The programs that show async and batch handlers, each run as a process in its own folder.

use std::path::Path;
use std::process::Command;

fn run(program: &str, folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("PULPO_")) {
        command.env_remove(key);
    }
    let output = command.args(arguments).current_dir(folder).env_remove("RUST_LOG").output().expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

fn has_lines(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|said| said.trim().starts_with(line)), "{line:?} in:\n{text}");
    }
}

/// The expected figures were counted with a regular expression, not with the program.
#[test]
fn the_access_log_is_added_up_and_its_bad_lines_are_buried() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = env!("CARGO_BIN_EXE_access_log");
    let text = run(program, folder.path(), &[]);
    has_lines(
        &text,
        &[
            "published 727 lines",
            "counted 722 lines, buried 5",
            "722 hits in ",
            "2026-11-21 08h     82 ",
            "2026-11-21 12h    276 ***",
            "2026-11-21 14h      1",
            "status 200        532",
            "status 503          3",
            "165 of /",
            "60 of /products/espresso-machine",
        ],
    );
    assert!(text.contains(", 14339502 bytes"), "{text}");
    let batches: u64 = text
        .split_once("hits in ")
        .and_then(|(_, rest)| rest.split(' ').next())
        .and_then(|number| number.parse().ok())
        .expect("a number of batches");
    assert!((8..100).contains(&batches), "727 lines by a hundred at most, in {batches} batches");

    let buried: Vec<_> = text.lines().filter(|line| line.starts_with("buried ")).collect();
    assert_eq!(buried.len(), 5, "{text}");
    for reason in [
        r#"expected a time in brackets, in "\\x16\\x03"#,
        r#"the time "21/Nov/2026:12:61:55 +0100": "#,
        r#"no path in the request "-""#,
        r#"the status "abc": invalid digit"#,
    ] {
        assert!(buried.iter().any(|line| line.contains(reason)), "{reason} in {buried:?}");
    }

    // Finished jobs have left the queue, and the next run adds to the report.
    assert_eq!(run(program, folder.path(), &["check"]), "1 handler, nothing is wrong\n");
    has_lines(&run(program, folder.path(), &[]), &["counted 722 lines, buried 5", "1444 hits in "]);
}

#[test]
fn the_bank_is_asked_for_each_foreign_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = run(env!("CARGO_BIN_EXE_exchange"), folder.path(), &[]);
    let (orders, _) = pulpo_examples::orders::read().expect("orders");
    let foreign: Vec<_> = orders.iter().filter(|order| order.currency != "EUR").collect();
    let of = |currency: &str| foreign.iter().filter(|order| order.currency == currency).count();
    has_lines(
        &text,
        &[
            &format!("published {} orders", foreign.len()),
            // The first three requests found the bank closed.
            &format!("{} questions to the bank", foreign.len() + 3),
            &format!("PLN {:3} orders ", of("PLN")),
            &format!("JPY {:3} orders ", of("JPY")),
        ],
    );
    // The bank's rate differs from the shop's for one of the currencies.
    let looks = text.lines().filter(|line| line.starts_with("look: order ")).count();
    assert_eq!((looks, looks), (4, of("ISK")), "{text}");
    has_lines(&text, &[&format!("done {}, tried again 3, buried 0", foreign.len() + looks)]);
}
