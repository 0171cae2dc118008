use serde::{Deserialize, Serialize};

use super::*;
use crate::job::{ByMacro, Job};
use crate::registry::Handler;

/// Declares a job with a handler.
macro_rules! job {
    ($name:ident($body:ty), $request_type:literal $(, $alias:literal)*) => {
        #[derive(Serialize, Deserialize)]
        struct $name($body);

        impl Job for $name {
            const REQUEST_TYPE: &'static str = $request_type;
            const ALIASES: &'static [&'static str] = &[$($alias),*];
            const USE_THE_ATTRIBUTE_PULPO_HANDLER_OR_DERIVE_PULPO_JOB_INSTEAD: ByMacro = ByMacro;
        }

        impl $name {
            fn handler() -> &'static Handler {
                Box::leak(Box::new(crate::__private::handler::<Self>("run", file!(), line!(), |_| unreachable!(), &[])))
            }
        }
    };
}

job!(Echo(String), "echo", "say");
job!(Nap(u64), "nap");
job!(Rest(u64), "rest", "nap", "pause");

fn program(handlers: impl IntoIterator<Item = &'static Handler>) -> Registry {
    Registry::of(handlers).expect("handlers")
}

fn read(text: &str) -> Snapshot {
    Snapshot::read_whole(&format!("pulpo snapshot 1\n\n{text}")).expect("a snapshot")
}

/// Returns the changes: the job, the kind, and the request types of the messages.
fn changes(text: &str, program: &Registry) -> Vec<(String, DifferenceKind, String)> {
    let all = read(text).compare(program, &[]).changes.into_iter();
    all.map(|change| (change.job, change.difference.kind, change.request_types.join(" "))).collect()
}

fn changed(job: &str, kind: DifferenceKind, request_types: &str) -> (String, DifferenceKind, String) {
    (job.to_owned(), kind, request_types.to_owned())
}

#[test]
fn the_messages_of_an_alias_are_read_by_the_job_that_it_belongs_to_now() {
    let moved = program([Echo::handler(), Nap::handler()]);
    let before = "job echo\nalias nap\nalias say\nbody: text\n";
    assert_eq!(changes(before, &moved), [changed("nap", DifferenceKind::TypeChanged, "nap")]);
    // As an alias of another job.
    let moved = program([Echo::handler(), Rest::handler()]);
    let before = "job echo\nalias nap\nalias say\nbody: text\n\njob pause\nbody: u64\n";
    assert_eq!(changes(before, &moved), [changed("nap", DifferenceKind::TypeChanged, "nap")]);
    // Also if the job itself has gone.
    let before = "job gone\nalias nap\nbody: text\n";
    let gone = changes(before, &moved);
    assert_eq!(gone[1..], [changed("nap", DifferenceKind::TypeChanged, "nap")], "{gone:?}");
    assert_eq!((gone.len(), &*gone[0].2), (2, "gone"));
    // One that reads the same is not a change.
    assert_eq!(changes("job gone\nalias nap\nbody: u64\n", &moved).len(), 1);
    let before = "job nap\nalias pause\nalias rest\nbody: u64\n";
    assert_eq!(changes(before, &moved), []);
    // What the job itself does not read concerns the messages that it gets.
    let before = "job echo\nalias nap\nalias say\nbody: u64\n";
    assert_eq!(changes(before, &moved), [changed("echo", DifferenceKind::TypeChanged, "echo say")]);
}

#[test]
fn an_update_keeps_the_notes_of_a_renamed_job_and_those_after_the_last_line() {
    let program = program([Echo::handler(), Rest::handler()]);
    let before = "# Ours.\npulpo snapshot 1\n\n# Of the naps.\njob nap\nexample 7\n# Of pauses.\njob pause\n\
                  example 8\nexample 7\n# Of the rest.\njob rest\n# In the middle.\nexample 9\n# The end.\n";
    let update = |text: &str| {
        let before = Snapshot::read(text).expect("a snapshot");
        Snapshot::of(&program).with_notes_of(before, &program).to_string()
    };
    let after = "# Ours.\npulpo snapshot 1\n\njob echo\nalias say\nbody: text\n\n# Of the naps.\n# Of pauses.\n\
                 # Of the rest.\n# In the middle.\njob rest\nalias nap\nalias pause\nbody: u64\nexample 7\n\
                 example 8\nexample 9\n\n# The end.\n";
    assert_eq!(update(before), after);
    assert_eq!(update(after), after, "another one changes nothing");
    assert_eq!(update("pulpo snapshot 1\n# Only this.\n"), Snapshot::of(&program).to_string() + "\n# Only this.\n");
}

#[test]
fn a_damaged_snapshot_is_refused_with_its_line() {
    let good = "pulpo snapshot 1\n\njob a\nbody: object\nbody.id: u64\nbody.pay: one of\nbody.pay.Cash: unit\n\n\
                job b\nbody: text\n";
    assert!(Snapshot::read_whole(good).is_ok());
    for (from, to, expected) in [
        ("job b\nbody: text\n", "job b\n", "line 9: expected `body: …` below `job b`, got none: restore the file"),
        ("body: object\n", "", "line 3: expected `body: …` below `job a`"),
        ("body: text", "body : text", "line 10: expected a path and what is read there"),
        ("body: text", "  body: text", "line 10: expected a path and what is read there"),
        ("body: text", "body: te", "line 10: expected a path and what is read there"),
        ("body: text", "body: stringy", "line 10: expected a path and what is read there"),
        ("body: text", "body: text, at most 99999999999 bytes", "line 10: expected a path"),
        ("body.id: u64", "body.id: u6", "line 5: expected a path and what is read there"),
        ("body.id: u64", " body.id: u64", "line 5: expected a path and what is read there"),
        ("body.id: u64", "body.id: as body.nowhere", "line 5: expected a path above `body.id`"),
        ("body: text", "body: as body", "line 10: expected a path above `body`"),
        ("body.id: u64", "body.id: as body.other\nbody.other: as body.id", "line 5: expected a path above `body.id`"),
        ("body.pay.Cash: unit\n", "", "line 6: expected the variants of `body.pay`"),
        ("body.pay: one of\n", "", "line 6: expected a line for `body.pay`"),
        (
            "body.id: u64",
            "body.id: list",
            "line 5: expected a line for `body.id[]` below the one for `body.id`, got none",
        ),
        ("body.id: u64", "body.id: u64, another name of no", "line 5: expected a line for the field `no`, of which"),
        ("body.pay: one of", "body.pay: u64", "line 7: expected no line for `body.pay.Cash` beside `body.pay: u64`"),
        ("job b", "  job b", "line 9: expected a path"),
        ("body: text\n", "body: text\nexample {\"id\": 7\n", "line 11: expected a body as JSON behind `example`"),
        ("body: text\n", "body: text\nexample text\n", "line 11: expected a body as JSON behind `example`"),
    ] {
        let text = good.replace(from, to);
        assert_ne!(text, good);
        let error = Snapshot::read_whole(&text).expect_err(&text);
        assert!(error.starts_with(expected), "{error}\n{text}");
    }
    // To be written again, it needs no bodies.
    assert!(Snapshot::read("pulpo snapshot 1\njob a\nexample 7\n").is_ok());
}
