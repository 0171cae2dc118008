//! Behaviour that differs on a terminal, which `script` simulates.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use pulpo_tests::program::Sandbox;
use pulpo_tests::wait::until;

use super::{WORKER, drain, well};

/// Returns a command of the worker on a terminal of 100 columns.
fn at_a_terminal(place: &Sandbox, arguments: &str) -> Command {
    at_a_terminal_of(place, 100, arguments)
}

/// Returns a command of the worker on a terminal of this width.
pub(super) fn at_a_terminal_of(place: &Sandbox, columns: u16, arguments: &str) -> Command {
    at_a_terminal_by(WORKER, place, columns, arguments)
}

/// Returns a command of another program on a terminal of this width.
pub(super) fn at_a_terminal_by(program: &str, place: &Sandbox, columns: u16, arguments: &str) -> Command {
    at_a_terminal_sized(program, place, (columns, 50), arguments)
}

/// Returns a command of a program on a terminal of this width and height.
pub(super) fn at_a_terminal_sized(
    program: &str,
    place: &Sandbox,
    (columns, rows): (u16, u16),
    arguments: &str,
) -> Command {
    // The end of the terminal ends the program, even if the tests run with that signal ignored.
    let shell = format!("stty cols {columns} rows {rows}; exec env --default-signal=HUP '{program}' {arguments}");
    let mut command = place.command("script", &["-q", "-e", "-c", &shell, "/dev/null"]);
    command.env("TERM", "xterm").env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

#[track_caller]
pub(super) fn shown(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("started");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn bury(place: &Sandbox) {
    well(place, &["publish", "echo", "--payload", "bad", "--count", "2"]);
    drain(place);
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let place = Sandbox::new();
    bury(&place);
    let coloured = |text: &str| text.contains("\u{1b}[");
    assert!(coloured(&shown(at_a_terminal(&place, "list"))));
    let mut command = at_a_terminal(&place, "list");
    command.env("NO_COLOR", "1");
    assert!(!coloured(&shown(command)));
    let mut command = at_a_terminal(&place, "list");
    command.env("TERM", "dumb");
    assert!(!coloured(&shown(command)));
    assert!(!coloured(&well(&place, &["list"])));
    let mut forced = place.command(WORKER, &["list"]);
    assert!(coloured(&shown({
        forced.env("CLICOLOR_FORCE", "1").env_remove("NO_COLOR");
        forced
    })));
    assert!(!coloured(&shown(at_a_terminal(&place, "list --json"))));
}

#[test]
fn tables_are_as_wide_as_the_terminal() {
    let place = Sandbox::new();
    bury(&place);
    for arguments in ["list", "stats", "handlers", "config"] {
        let mut command = at_a_terminal(&place, arguments);
        command.env("NO_COLOR", "1");
        let text = shown(command);
        let widest = text.lines().map(|line| line.trim_end().chars().count()).max();
        assert!(widest.is_some_and(|widest| (20..=100).contains(&widest)), "{arguments}: {widest:?}\n{text}");
    }
    // For programs, each row is one line, however long.
    assert_eq!(well(&place, &["handlers"]).lines().count(), 4);
}

/// Runs a command that asks a question, calls `meanwhile`, and answers. Returns the exit code and
/// the output.
fn answered(place: &Sandbox, arguments: &str, meanwhile: impl FnOnce(), answer: &str) -> (i32, String) {
    let mut command = at_a_terminal(place, arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("started");
    let said = Arc::new(Mutex::new(Vec::new()));
    let (mut out, heard) = (child.stdout.take().expect("a pipe"), said.clone());
    let reader = std::thread::spawn(move || {
        let mut part = [0; 1024];
        while let Ok(more @ 1..) = out.read(&mut part) {
            heard.lock().expect("not poisoned").extend_from_slice(&part[..more]);
        }
    });
    let text = || String::from_utf8_lossy(&said.lock().expect("not poisoned")).into_owned();
    until("it asks", || text().contains("[y/N]"));
    meanwhile();
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(answer.as_bytes()).expect("written");
    let code = child.wait().expect("an end").code().unwrap_or(-1);
    reader.join().expect("read");
    (code, text())
}

#[test]
fn a_question_may_be_answered_with_no() {
    for place in [Sandbox::new(), Sandbox::with_beanstalkd()] {
        bury(&place);
        let (code, said) = answered(&place, "kick --all", || {}, "n\n");
        assert!(code == 1 && said.contains("kick 2 messages (2 buried)? [y/N]"), "{code}: {said}");
        assert!(said.contains("nothing was done: not confirmed"), "{said}");
        let (code, said) = answered(&place, "purge side", || {}, "\n");
        assert!(code == 1 && said.contains("delete 2 messages (2 buried)? [y/N]"), "{code}: {said}");
        let (code, said) = answered(&place, "kick --reason bad", || {}, "yes\n");
        assert!(code == 0 && said.contains("kicked 2 messages"), "{code}: {said}");
        assert!(shown(at_a_terminal(&place, "delete 1")).contains("deleted 1"), "one that is named is not asked about");
    }
}

#[test]
fn only_what_was_counted_is_touched() {
    for place in [Sandbox::new(), Sandbox::with_beanstalkd()] {
        well(&place, &["publish", "echo", "--payload", "old", "--count", "12"]);
        let meanwhile = || {
            well(&place, &["publish", "echo", "--payload", "new", "--count", "3"]);
            well(&place, &["delete", "5"]);
        };
        let (code, said) = answered(&place, "purge side", meanwhile, "y\n");
        assert!(
            code == 0 && said.contains("delete 12 messages (12 ready)?") && said.contains("deleted 11 messages"),
            "{said}"
        );
        assert_eq!(well(&place, &["list", "--limit", "0"]).lines().count(), 4, "the new message is left");
    }
}

#[test]
fn a_watch_stays_in_its_place() {
    let place = Sandbox::new();
    bury(&place);
    let mut command = at_a_terminal(&place, "stats --watch 100ms");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("started");
    let mut out = child.stdout.take().expect("a pipe");
    let mut text = String::new();
    while text.matches("\u{1b}[H").count() < 3 {
        let mut part = [0; 4096];
        let more = out.read(&mut part).expect("more");
        assert!(more > 0, "it ended: {text}");
        text.push_str(&String::from_utf8_lossy(&part[..more]));
    }
    // Close the terminal, which ends the program in it. A Ctrl-C would not reach the program if the
    // tests run with that signal ignored.
    child.kill().expect("killed");
    drop(out);
    child.wait().expect("an end");
    assert!(text.contains("every 100ms") && text.contains("\u{1b}[K") && text.contains("\u{1b}[J"), "{text}");
}

#[test]
fn progress_is_for_terminals() {
    let place = Sandbox::new();
    let text = shown(at_a_terminal(&place, "publish echo --payload x --count 50000"));
    assert!(text.contains(" of 50,000, "), "{text:?}");
    assert!(text.contains("published echo 50000 times"), "{text:?}");
    // `well` checks that nothing is written to standard error.
    well(&place, &["publish", "echo", "--payload", "x", "--count", "5000"]);
}
