//! Compiles cases with trybuild, and says at the end which of them failed, and how.
//!
//! trybuild prints a failure where it occurs, among hundreds of other lines. A log of which only the end is kept would not
//! name the case.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Set in the process that runs trybuild.
const INSIDE: &str = "PULPO_UI_INSIDE";

/// All cases share one project of trybuild, whose lock is for one process only.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs cases in a process of their own, and passes its output on. `test` is the name of the calling test, which that
/// process runs again.
///
/// # Panics
/// If a case fails, with the name of each.
pub(crate) fn run(test: &str, cases: impl FnOnce(&trybuild::TestCases)) {
    if std::env::var_os(INSIDE).is_some() {
        return cases(&trybuild::TestCases::new());
    }
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let chosen: Vec<_> = std::env::args().filter(|argument| argument.starts_with("trybuild=")).collect();
    let is_whole = chosen.is_empty();
    let mut inside = Command::new(std::env::current_exe().expect("this program"))
        .args([test, "--exact", "--nocapture"])
        .args(chosen)
        .env(INSIDE, "1")
        .env("NO_COLOR", "1")
        .env("TERM", "dumb")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program runs again");
    let mut output = Vec::new();
    for line in BufReader::new(inside.stderr.take().expect("a pipe")).split(b'\n') {
        let line = line.expect("a line");
        let mut shown = std::io::stderr();
        shown.write_all(&line).and_then(|()| shown.write_all(b"\n")).expect("the output takes it");
        output.push(String::from_utf8_lossy(&line).into_owned());
    }
    let status = inside.wait().expect("it ends");
    let failed = failed(&output);
    let any = output.iter().any(|line| line.starts_with("test ") && line.contains(" ... "));
    assert!(any || !is_whole, "no case was compiled: is the name of the test {test}?");
    assert!(status.success(), "{status}, {} cases failed\n{}", failed.len(), failed.join("\n"));
}

/// Returns the cases that failed, each with the first line that differs, or with the first line of the reason.
fn failed(output: &[String]) -> Vec<String> {
    let outcome = |line: &String| {
        let (name, outcome) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
        Some((name.to_owned(), outcome.to_owned()))
    };
    let mut all = Vec::new();
    for (place, line) in output.iter().enumerate() {
        let Some((name, outcome)) = outcome(line).filter(|(_, outcome)| outcome != "ok") else { continue };
        let rest = &output[place + 1..];
        let reason = difference(rest).filter(|_| outcome == "mismatch");
        let reason = reason.or_else(|| rest.iter().find(|line| !line.trim().is_empty()).cloned()).unwrap_or_default();
        all.push(format!("{name}: {outcome}: {reason}"));
    }
    all
}

/// Returns the first line in which the expected and the actual output of a case differ.
fn difference(output: &[String]) -> Option<String> {
    let block = |head: &str| {
        let start = output.iter().position(|line| line == head)?;
        let lines = output[start + 1..].iter();
        Some(lines.skip(1).take_while(|line| !line.starts_with('┈')).map(String::as_str).collect::<Vec<_>>())
    };
    let (expected, actual) = (block("EXPECTED:")?, block("ACTUAL OUTPUT:")?);
    let end = "(the end)";
    (0..expected.len().max(actual.len()))
        .map(|line| (*expected.get(line).unwrap_or(&end), *actual.get(line).unwrap_or(&end)))
        .find(|(expected, actual)| expected != actual)
        .map(|(expected, actual)| format!("expected `{}`, got `{}`", expected.trim(), actual.trim()))
}

#[test]
fn a_case_that_fails_is_named_with_the_first_line_that_differs() {
    let dots = "┈".repeat(60);
    let output = format!(
        "    Checking pulpo-tests v0.0.0\n\n\ntest tests/ui/fail/good.rs ... ok\n\
         test tests/ui/fail/other.rs ... mismatch\n\nEXPECTED:\n{dots}\nerror: expected `a`\n --> other.rs:7:18\n{dots}\n\n\
         ACTUAL OUTPUT:\n{dots}\nerror: expected `a`\n --> other.rs:7:20\n  |\n{dots}\nnote: If the actual output is …\n\n\
         test tests/ui/fail/compiles.rs ... error\nExpected test case to fail to compile, but it succeeded.\n\n\
         test tests/ui/fail/short.rs [should fail to compile] ... mismatch\n\nEXPECTED:\n{dots}\nerror: a\n{dots}\n\n\
         ACTUAL OUTPUT:\n{dots}\nerror: a\nerror: b\n{dots}\n"
    );
    let output: Vec<_> = output.lines().map(str::to_owned).collect();
    assert_eq!(
        failed(&output),
        [
            "tests/ui/fail/other.rs: mismatch: expected `--> other.rs:7:18`, got `--> other.rs:7:20`",
            "tests/ui/fail/compiles.rs: error: Expected test case to fail to compile, but it succeeded.",
            "tests/ui/fail/short.rs [should fail to compile]: mismatch: expected `(the end)`, got `error: b`",
        ]
    );
}
