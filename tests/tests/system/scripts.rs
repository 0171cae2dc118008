//! A few failed tests run once more, alone, and those that pass then are named.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What cargo prints when these tests of one program fail.
fn failure(names: &[&str], failed: usize) -> String {
    let reasons: String = names.iter().map(|name| format!("---- {name} stdout ----\nit failed\n\n")).collect();
    format!(
        "running 9 tests\n\nfailures:\n\n{reasons}failures:\n\ntest result: FAILED. 5 passed; {failed} failed; 0 ignored\n\n\
         error: test failed, to rerun pass `--test system`\nerror: 1 target failed:\n    `-p pulpo-tests --test system`\n"
    )
}

/// Runs the script with a cargo that prints `first` and fails, then prints `alone` and has this outcome. Returns whether
/// the script passed, what it printed, and which tests it named.
fn run(first: &str, alone: &str, good: bool) -> (bool, String, Option<String>) {
    let place = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| fs::write(place.path().join(name), text).expect("written");
    file("first", first);
    file("alone", alone);
    fs::create_dir(place.path().join("scripts")).expect("a folder");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/tests");
    fs::copy(script, place.path().join("scripts/tests")).expect("copied");
    let cargo = format!(
        "cargo() {{ case \"$*\" in
            *--doc* | *--no-fail-fast*conformance*) return 0 ;;
            *--no-fail-fast*) cat first; return 101 ;;
            *--exact*) echo \"$*\"; cat alone; return {} ;;
        esac; }}
        export -f cargo
        bash scripts/tests",
        if good { 0 } else { 101 }
    );
    let done = Command::new("bash").arg("-c").arg(cargo).current_dir(place.path()).output().expect("it ran");
    let named = fs::read_to_string(place.path().join("target/unsteady")).ok();
    (done.status.success(), String::from_utf8_lossy(&done.stdout).into_owned(), named)
}

#[test]
fn tests_that_pass_alone_are_named() {
    let names = ["queue::a_stop", "kills::a_kill"];
    let alone = "test result: ok. 0 passed; 0 failed\ntest result: ok. 2 passed; 0 failed\n";
    let (good, said, named) = run(&failure(&names, 2), alone, true);
    assert!(good, "{said}");
    assert!(said.contains("---- kills::a_kill stdout ----\nit failed\n\n== those"), "{said}");
    assert!(said.contains("--exact --test-threads 1 queue::a_stop kills::a_kill"), "{said}");
    assert_eq!(named.as_deref(), Some("queue::a_stop\nkills::a_kill\n"));
}

#[test]
fn a_test_that_fails_again_fails_the_check() {
    let first = failure(&["queue::a_stop"], 1);
    assert!(!run(&first, "test result: FAILED. 0 passed; 1 failed\n", false).0);
    let none = "test result: ok. 0 passed; 0 failed\n";
    assert!(!run(&first, none, true).0, "it did not run, as one in the documentation");
}

#[test]
fn what_is_more_than_a_few_tests_does_not_run_again() {
    let many = failure(&["a", "b", "c", "d"], 4);
    let unnamed = failure(&["a"], 2);
    let killed = failure(&["a"], 1).replace("1 target failed", "2 targets failed");
    let lost = failure(&["kills::nothing_is_lost_or_stranded"], 1);
    for first in [&many, &unnamed, &killed, &lost, "error: could not compile `pulpo`\n"] {
        let (good, said, named) = run(first, "test result: ok. 1 passed; 0 failed\n", true);
        assert!(!good && !said.contains("--exact") && named.is_none(), "{said}");
    }
}
