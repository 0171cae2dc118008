//! `pulpo::main! { jobs: [shared::jobs] }`: a worker that does not handle a job of a shared crate
//! does not compile.

use crate::workspace::{Workspace, pulpo};

const SHARED: &str = r#"
mod mail {
    #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
    #[job("send_email")]
    pub struct SendEmail;
}

#[pulpo::jobs]
pub mod jobs {
    pub use crate::mail::SendEmail;

    #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
    #[job("charge")]
    pub struct Charge;

    #[cfg(feature = "refunds")]
    #[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
    #[job("refund")]
    pub struct Refund;
}
"#;

const CHARGE: &str = "#[pulpo::handler]\nfn charge(_: shared::jobs::Charge) {}\n";
const SEND: &str = "#[pulpo::handler]\nfn send(_: shared::jobs::SendEmail) {}\n";
const MAIN: &str = "pulpo::main! { crates: [mailing, posting], jobs: [shared::jobs] }\n";

/// Checks a worker with these handlers, and two libraries with those.
fn check(worker: &str, libraries: [&str; 2], features: &str) -> (bool, String) {
    let workspace = Workspace::new();
    let pulpo = pulpo("pulpo", "\"cli\"");
    let shared = format!("shared = {{ path = \"../shared\", features = [{features}] }}\n");
    workspace.package("shared", "2021", &format!("{pulpo}[features]\nrefunds = []\n"), SHARED);
    let mut all = format!("{pulpo}{shared}");
    for (name, handlers) in ["mailing", "posting"].into_iter().zip(libraries) {
        workspace.package(name, "2024", &format!("{pulpo}{shared}"), handlers);
        all.push_str(&format!("{name} = {{ path = \"../{name}\" }}\n"));
    }
    let main = if worker.starts_with(MAIN) { "" } else { MAIN };
    workspace.package("worker", "2024", &all, &format!("{worker}{main}"));
    workspace.cargo(&["check", "-p", "worker"])
}

#[test]
fn a_worker_handles_every_job_of_a_list() {
    let (good, said) = check(CHARGE, [SEND, ""], "");
    assert!(good, "its own, and one of a library: {said}");

    let (good, said) = check("", ["", SEND], "");
    assert!(!good && said.contains("no handler of this program does the job `Charge`"), "{said}");
    assert_eq!(said.matches("error[").count(), 1, "{said}");
    assert!(said.contains("main.rs:1:59"), "on the list: {said}");

    let (good, said) = check(CHARGE, [SEND, ""], "\"refunds\"");
    assert!(!good && said.contains("no handler of this program does the job `Refund`"), "with a feature: {said}");
    assert_eq!(said.matches("error[").count(), 1, "{said}");
}

/// The list sees both handlers, which do not see each other.
#[test]
fn a_list_finds_two_handlers_of_one_job() {
    let (good, said) = check(CHARGE, [SEND, SEND], "");
    assert!(!good && said.contains("multiple `impl`s satisfying `SendEmail"), "{said}");
    assert!(said.contains("in the following crates: `mailing`, `posting`"), "{said}");
    assert_eq!(said.matches("error[").count(), 1, "{said}");
    assert!(said.contains("main.rs:3:59"), "on the list: {said}");
}

/// If one of the two is the program's own, whichever stands first says so: its handler, or the list.
#[test]
fn a_handler_beside_a_list_finds_another_one_in_a_library() {
    let (good, said) = check(&format!("{CHARGE}{SEND}"), [SEND, ""], "");
    assert!(!good && said.contains("a_job_has_one_handler_so_remove_one_of_the_two"), "{said}");
    assert!(said.contains("main.rs:4:12"), "on the body: {said}");
    assert_eq!(said.matches("error[").count(), 1, "{said}");

    let (good, said) = check(&format!("{MAIN}{CHARGE}{SEND}"), [SEND, ""], "");
    assert!(!good && said.contains("multiple `impl`s satisfying `SendEmail"), "{said}");
    assert!(said.contains("main.rs:1:59"), "on the list: {said}");
    assert_eq!(said.matches("error[").count(), 1, "{said}");

    // A job without a handler beside it is a mistake of its own.
    let (good, said) = check(SEND, [SEND, ""], "");
    assert!(!good && said.contains("a_job_has_one_handler_so_remove_one_of_the_two"), "{said}");
    assert!(said.contains("no handler of this program does the job `Charge`"), "{said}");
    assert_eq!(said.matches("error[").count(), 2, "{said}");

    let (good, said) = check(&format!("{MAIN}{CHARGE}{SEND}"), ["", ""], "");
    assert!(good, "its own, after the list: {said}");
}
