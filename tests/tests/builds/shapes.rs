//! The shapes of bodies in programs that are built in other ways.

use crate::workspace::{Workspace, pulpo};

/// Bodies of which serde hides a part, with fields in no order, and one that panics when it reads a made-up value.
const WORKER: &str = r#"
use serde::{Deserialize, Deserializer, Serialize};

#[derive(Serialize, Deserialize)]
struct Hidden {
    z: u8,
    #[serde(flatten)]
    rest: Rest,
}

#[derive(Serialize, Deserialize)]
struct Rest {
    y: u8,
    b: u8,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "tag")]
enum Kind {
    One { x: u8, a: u8 },
}

#[pulpo::handler("hidden")]
fn hidden(_: Hidden) {}

#[derive(Serialize, Deserialize)]
struct Typed(Kind);

#[pulpo::handler("typed")]
fn typed(_: Typed) {}

#[derive(Serialize, Deserialize)]
struct Panics(Even);

#[derive(Serialize)]
struct Even(u8);

impl<'de> Deserialize<'de> for Even {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u8::deserialize(deserializer).expect("a number");
        assert!(number % 2 == 0, "an odd number");
        Ok(Self(number))
    }
}

#[pulpo::handler("panics")]
fn panics(_: Panics) {}

pulpo::main!();
"#;

const SCHEMA: &str = r#"
job hidden
body: map, such as {"b":1,"y":1,"z":1} {"b":0,"y":0,"z":0} {"b":255,"y":255,"z":255}
body.*: anything

job panics
body: u8, unseen

job typed
body: object with tag: One, such as {"a":1,"tag":"One","x":1} {"a":0,"tag":"One","x":0} {"a":255,"tag":"One","x":255}
"#;

#[test]
fn a_shape_is_the_same_in_whatever_order_serde_json_keeps_the_fields() {
    let workspace = Workspace::new();
    for (name, more) in
        [("sorted", ""), ("unsorted", "serde_json = { version = \"1\", features = [\"preserve_order\"] }\n")]
    {
        workspace.package(name, "2024", &(pulpo("pulpo", "\"cli\"") + more), WORKER);
        let (fine, said) = workspace.cargo(&["run", "--package", name, "--", "handlers", "--schema"]);
        assert!(fine, "{said}");
        assert!(said.contains(SCHEMA), "{name}: {said}");
    }
}

#[test]
fn a_program_that_a_panic_ends_publishes_valid_jobs_and_refuses_to_try_its_types() {
    let workspace = Workspace::new();
    workspace.package("aborts", "2024", &pulpo("pulpo", "\"cli\", \"file\""), WORKER);
    // Not beside the packages, where cargo would look for one in it.
    let folder = tempfile::tempdir().expect("a folder");
    let queue = format!("file:{}", folder.path().display());
    let run = |arguments: &[&str]| {
        let cargo = ["run", "--package", "aborts", "--"];
        let environment = [("CARGO_PROFILE_DEV_PANIC", "abort"), ("PULPO_QUEUE", queue.as_str())];
        workspace.cargo_with(&[&cargo[..], arguments].concat(), &environment)
    };
    // In a trace, or with a made-up value, its type would panic.
    for _ in 0..2 {
        let (fine, said) = run(&["publish", "panics", "--body", "2"]);
        assert!(fine, "{said}");
    }
    let (fine, said) = run(&["list", "--json"]);
    assert!(fine, "{said}");
    let one = said.matches("\"shape\": \"1-").count().max(said.matches("\"shape\":\"1-").count());
    assert_eq!(one, 2, "each has a shape, which no program with shapes has: {said}");
    for refused in [&["handlers", "--schema"][..], &["check", "--update", "s"], &["check", "--against", "s"]] {
        let (fine, said) = run(refused);
        assert!(!fine && said.contains("built with panic = \"abort\", so pulpo cannot try"), "{refused:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}
