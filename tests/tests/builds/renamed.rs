//! The crate pulpo under another name, or reached through another crate.

use crate::workspace::{Workspace, pulpo};

const JOBS: &str = r#"
#[derive(serde::Serialize, serde::Deserialize)]
pub struct Send;

#[work::handler("send", timeout = "5s")]
pub fn send(_: Send, _: &work::Context) {}

#[derive(serde::Serialize, serde::Deserialize, work::Job)]
#[job("charge")]
pub struct Charge;

#[work::handler]
pub async fn charge(_: Charge) -> work::Outcome {
    work::publish(Send)?;
    Ok(())
}

#[work::jobs]
pub mod jobs {
    pub use super::Charge;
}

work::main! { jobs: [jobs] }
"#;

#[test]
fn a_renamed_dependency_is_found() {
    let workspace = Workspace::new();
    workspace.package("jobs", "2021", &pulpo("work", "\"cli\", \"tokio\""), JOBS);
    let (good, said) = workspace.cargo(&["check", "-p", "jobs"]);
    assert!(good, "{said}");
}

/// The name may come from the workspace, or belong to one target.
#[test]
fn a_dependency_of_one_target_is_found() {
    let workspace = Workspace::new();
    let dependency = format!("[target.'cfg(not(any()))'.dependencies]\n{}", pulpo("jobs_of", ""));
    let source = "#[derive(serde::Serialize, serde::Deserialize)]\npub struct Send;\n\
                  #[jobs_of::handler(\"send\")]\npub fn send(_: Send) {}\n";
    workspace.package("jobs", "2018", &dependency, source);
    let (good, said) = workspace.cargo(&["check", "-p", "jobs"]);
    assert!(good, "{said}");
}

#[test]
fn a_re_export_wants_its_path_and_that_is_one_error() {
    let workspace = Workspace::new();
    workspace.package("framework", "2024", "", "pub use pulpo;\n");
    let handler = |name: &str, path: &str| {
        format!(
            "#[derive(serde::Serialize, serde::Deserialize)]\npub struct {name};\n\
             #[framework::pulpo::handler(\"{name}\"{path})]\npub fn handle_{name}(_: {name}) {{}}\n"
        )
    };
    // The word keeps the crate from getting pulpo itself.
    let on_framework = "framework = { path = \"../framework\" } # not pulpo\n";
    let without = handler("A", "") + &handler("B", "");
    workspace.package("jobs", "2024", on_framework, &format!("#![allow(non_snake_case)]\n{without}"));
    let (good, said) = workspace.cargo(&["check", "-p", "jobs"]);
    assert!(!good && said.contains("say where, `crate = that_crate::pulpo`"), "{said}");
    assert_eq!(said.matches("error: expected").count(), 1, "{said}");

    let with = handler("A", ", crate = framework::pulpo") + &handler("B", ", crate = ::framework::pulpo");
    workspace.package("jobs", "2024", on_framework, &format!("#![allow(non_snake_case)]\n{with}"));
    let (good, said) = workspace.cargo(&["check", "-p", "jobs"]);
    assert!(good, "{said}");
}

/// Two versions, each under a name of its own: the macros cannot know which one a handler is for.
#[test]
fn two_versions_under_other_names_are_one_error_that_asks_which() {
    let workspace = Workspace::new();
    // The word keeps it from getting pulpo itself.
    workspace.package("pulpo", "2024", "# pulpo of another version\n", "pub fn old() {}\n");
    let both = format!("{}old = {{ package = \"pulpo\", path = \"../pulpo\" }}\n", pulpo("work", "\"cli\", \"tokio\""));
    workspace.package("jobs", "2024", &both, JOBS);
    let (good, said) = workspace.cargo(&["check", "-p", "jobs"]);
    let words = "error: expected one dependency on pulpo, got `old` and `work`: say which, `crate = old`";
    assert!(!good && said.contains(words), "{said}");
    assert_eq!(said.matches("error: expected").count(), 1, "{said}");

    let jobs = JOBS
        .replace("timeout = \"5s\"", "timeout = \"5s\", crate = work")
        .replace("#[job(\"charge\")]", "#[job(\"charge\", crate = work)]")
        .replace("#[work::handler]", "#[work::handler(crate = work)]")
        .replace("#[work::jobs]", "#[work::jobs(crate = work)]");
    workspace.package("jobs", "2024", &both, &jobs);
    let (good, said) = workspace.cargo(&["check", "-p", "jobs"]);
    assert!(good, "{said}");
}
