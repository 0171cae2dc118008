//! Two handlers for one request type in several crates, which the compiler or the linker finds; and
//! a pulpo without its features.

use crate::workspace::Workspace;

/// The linker's message about two crates that do not see each other.
const WORDS: &str = "two_pulpo_handlers_for_the_request_type__send";

/// The compiler's message if one crate sees the other.
const RENAME: &str = "a_request_type_names_one_job_so_rename_one_of_the_two";

/// Returns a handler for `body`, in a crate with the strictest lints.
fn handler(attribute: &str, body: &str) -> String {
    format!(
        "#[derive(serde::Serialize, serde::Deserialize)]\npub struct {body};\n\
         #[pulpo::handler({attribute})]\npub fn {}(_: {body}) {{}}\n",
        body.to_lowercase()
    )
}

/// Returns a job that is declared on its type.
fn job(attribute: &str, body: &str) -> String {
    format!("#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]\n#[job({attribute})]\npub struct {body};\n")
}

/// Builds a binary from this source that depends on a library from the other. Returns whether it
/// succeeded, and cargo's output.
fn build(edition: &str, library: &str, binary: &str) -> (bool, String) {
    let workspace = Workspace::new();
    workspace.package("jobs", edition, "", &format!("#![forbid(unsafe_code)]\n{library}"));
    let binary = format!("#![forbid(unsafe_code)]\nuse jobs as _;\n{binary}\nfn main() {{}}\n");
    workspace.package("worker", edition, "jobs = { path = \"../jobs\" }", &binary);
    workspace.cargo(&["build"])
}

/// Asserts that there is exactly one error, which advises to rename one of the two.
#[track_caller]
fn assert_rename((good, said): (bool, String), where_they_are: &str) {
    assert!(!good && said.contains(RENAME), "{where_they_are}: {said}");
    assert_eq!(said.matches("error[").count(), 1, "{where_they_are}: {said}");
}

#[test]
fn two_handlers_of_one_request_type_do_not_compile() {
    for edition in ["2021", "2024"] {
        let (good, said) = build(edition, &handler("\"receive\"", "Receive"), &handler("\"send\"", "Send"));
        assert!(good, "two different ones, edition {edition}: {said}");

        let twice = handler("\"send\"", "Send") + &handler("\"send\"", "Again");
        let (good, said) = build(edition, "", &twice);
        assert!(said.contains("main.rs:5:18"), "on the first name: {said}");
        assert!(said.contains("9 | #[pulpo::handler(\"send\")]"), "and the second is shown: {said}");
        assert_rename((good, said), "in one crate");

        let alias = handler("\"resend\", alias = \"send\"", "Again");
        assert_rename(build(edition, &handler("\"send\"", "Send"), &alias), "in a crate and its dependency");
    }
}

/// Names with each character that a request type may have, in one program.
#[test]
fn two_handlers_in_crates_that_do_not_see_each_other_do_not_link() {
    let workspace = Workspace::new();
    workspace.package("first", "2024", "", &handler("\"send\"", "Send"));
    workspace.package("second", "2021", "", &handler("\"re-send:/+.;$()_\", alias = \"send\"", "Again"));
    let both = "first = { path = \"../first\" }\nsecond = { path = \"../second\" }\n";
    let main = "fn main() { println!(\"{}\", pulpo::Registry::collect().map_or(0, |all| all.iter().count())); }";
    workspace.package("worker", "2024", both, &format!("use first as _; use second as _;\n{main}\n"));
    // rustc links nothing itself, or the whole program with fat LTO.
    let ways = [&[][..], &[("CARGO_PROFILE_DEV_LTO", "fat")]];
    for way in ways {
        let (good, said) = workspace.cargo_with(&["build"], way);
        assert!(!good && said.contains(WORDS), "{way:?}: {said}");
    }
    // Without linking, nothing sees both.
    let (good, said) = workspace.cargo(&["check"]);
    assert!(good, "{said}");

    workspace.package("second", "2021", "", &handler("\"re-send:/+.;$()_\"", "Again"));
    for way in ways {
        let (good, said) = workspace.cargo_with(&["run"], way);
        assert!(good && said == "2\n", "two different ones, {way:?}: {said}");
    }
}

#[test]
fn a_declared_job_has_its_name_for_itself() {
    let handler_of_it = "#[pulpo::handler]\nfn send(_: jobs::Send) {}\n";
    let (good, said) = build("2024", &job("\"send\"", "Send"), handler_of_it);
    assert!(good, "a job and its handler: {said}");

    let other = handler("\"send\"", "Again");
    assert_rename(build("2024", &job("\"send\"", "Send"), &other), "a job and the handler of another type");

    let other = job("\"resend\", alias = \"send\"", "Again");
    assert_rename(build("2024", &job("\"send\"", "Send"), &other), "two jobs");
}

/// A named handler is the only one of its body, in every crate.
#[test]
fn a_named_handler_is_the_only_one_of_its_body() {
    let another = "#[pulpo::handler]\nfn again(_: jobs::Send) {}\n";
    let (good, said) = build("2024", &handler("\"send\"", "Send"), another);
    assert!(!good && said.contains("a_job_has_one_handler_so_remove_one_of_the_two"), "{said}");
    assert!(said.contains("main.rs:4:13"), "on the body: {said}");
    assert_eq!(said.matches("error[").count(), 1, "{said}");
}

/// A second handler of a declared job is found in the same crate and in its dependencies. Across
/// crates that are only linked together, the registry finds it.
#[test]
fn a_declared_job_has_one_handler() {
    let workspace = Workspace::new();
    let handler = "#[pulpo::handler]\nfn send(_: jobs::Send) {}\n";
    let on_jobs = "jobs = { path = \"../jobs\" }\n";
    workspace.package("jobs", "2024", "", &job("\"send\"", "Send"));
    workspace.package("first", "2024", on_jobs, handler);
    workspace.package("second", "2021", on_jobs, handler);
    let all = format!("{on_jobs}first = {{ path = \"../first\" }}\nsecond = {{ path = \"../second\" }}\n");
    let main = "fn main() { println!(\"{}\", pulpo::Registry::collect().expect_err(\"two\")) }";
    workspace.package("worker", "2024", &all, &format!("use first as _; use second as _;\n{main}\n"));
    let (good, said) = workspace.cargo(&["run"]);
    assert!(good, "libraries that do not see each other: {said}");
    assert!(said.starts_with("two handlers for one request type: `send` is served by "), "{said}");
    assert!(said.contains("first::send (first/src/lib.rs:2)") && said.contains("second::send ("), "{said}");

    workspace.package("worker", "2024", &all, &format!("use first as _;\n{handler}fn main() {{}}\n"));
    let (good, said) = workspace.cargo(&["build"]);
    assert!(
        !good && said.contains("multiple `impl`s satisfying `jobs::Send: pulpo::__private::HasOneHandler<_>`"),
        "{said}"
    );
    assert!(said.contains("another `impl` found in the `first` crate"), "{said}");
    assert_eq!(said.matches("error[").count(), 1, "one: {said}");
}

#[test]
fn an_async_handler_without_the_feature_says_which_one_it_needs() {
    let asynchronous = handler("\"send\"", "Send").replace("pub fn", "pub async fn");
    let (good, said) = build("2024", "", &asynchronous);
    let words = "error: an `async fn` handler needs the feature `tokio` of pulpo: add it to `features` in Cargo.toml";
    assert!(!good && said.contains(words), "{said}");
    assert_eq!(said.matches("error:").count(), 2, "one, and that it could not compile: {said}");
    assert!(said.contains("main.rs:6:5"), "on the keyword: {said}");
}
