//! Promises to the author of an adapter: the guide, the suite, and a clear refusal of conflicting schemes.

use std::fs;
use std::path::{Path, PathBuf};

use pulpo_tests::program::Sandbox;

const PROGRAM: &str = env!("CARGO_BIN_EXE_clashing_adapters");

#[test]
fn two_adapters_with_one_scheme_are_refused_at_the_start_of_every_command() {
    let place = Sandbox::new();
    for arguments in [
        &["work"] as &[&str],
        &["publish", "echo", "--body", "null"],
        &["list"],
        &["stats", "--json"],
        &["config"],
        // Also if no setting names the scheme.
        &["stats", "--set", "queue=file:./queue"],
    ] {
        let output = place.run(PROGRAM, arguments);
        assert_eq!((output.code, output.out.as_str()), (1, ""), "{arguments:?}: {}", output.err);
        let expected = "two queue adapters register the scheme `echo:`, `first_queue_adapter` (";
        assert!(output.err.contains(expected) && output.err.contains("link only one of them"), "{}", output.err);
    }
    let checked = place.run(PROGRAM, &["check"]);
    assert_eq!(checked.code, 1, "{}", checked.err);
    assert!(checked.out.contains("two queue adapters register the scheme `echo:`"), "{}", checked.out);
    assert!(!place.path("pulpo-data").exists(), "nothing is made");
}

fn library() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../pulpo/src")
}

/// Returns the lines of an item of a source file, from its first line to the closing brace.
fn item<'a>(text: &'a str, first: &str) -> Vec<&'a str> {
    let lines = text.lines().skip_while(|line| !line.starts_with(first));
    let lines: Vec<_> = lines.take_while(|line| *line != "}").collect();
    assert!(lines.len() > 5, "{first}");
    lines
}

#[test]
fn the_guide_names_each_method_of_the_contract() {
    let guide = fs::read_to_string(library().join("guide/adapters.md")).expect("the guide");
    let contract = fs::read_to_string(library().join("queue.rs")).expect("the contract");
    let backend = fs::read_to_string(library().join("queue/backend.rs")).expect("the backends");
    let mut missing = Vec::new();
    for (text, of) in [
        (&contract, "pub trait QueueAdapter"),
        (&contract, "pub trait Inspection"),
        (&contract, "pub trait Consumer"),
        (&backend, "pub trait Factory"),
    ] {
        let lines = item(text, of);
        // A hidden one is for the test kit alone.
        let hidden = |at: usize| at > 0 && lines[at - 1].trim() == "#[doc(hidden)]";
        let methods = lines.iter().enumerate().filter(|(at, _)| !hidden(*at));
        let methods = methods.filter_map(|(_, line)| line.strip_prefix("    fn "));
        let names = methods.map(|rest| rest.split(['(', '<']).next().unwrap_or_default());
        missing.extend(names.filter(|name| !guide.contains(&format!("`{name}`"))).map(|name| format!("{of}: {name}")));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn each_capability_has_a_case_in_the_suite() {
    let mut cases = String::new();
    for entry in fs::read_dir(library().join("queue/conformance")).expect("the suite") {
        cases += &fs::read_to_string(entry.expect("an entry").path()).expect("cases");
    }
    let text = fs::read_to_string(library().join("queue/capabilities.rs")).expect("the capabilities");
    let fields = item(&text, "pub struct Capabilities").into_iter().filter_map(|line| line.strip_prefix("    pub "));
    let names: Vec<_> = fields.filter_map(|rest| rest.split_once(':')).map(|(name, _)| name).collect();
    assert!(names.len() > 15, "{names:?}");
    let without: Vec<_> = names
        .iter()
        .filter(|name| {
            !cases.contains(&format!("apabilities.{name}")) && !cases.contains(&format!("apabilities().{name}"))
        })
        .collect();
    assert!(without.is_empty(), "no case of the suite asks for {without:?}");
}
