//! Two handlers for one request type, which code generation and the linker see
//! and trybuild does not run; and a pulpo without its features.

use crate::workspace::Workspace;

const WORDS: &str = "two pulpo handlers for the request type `send`";

/// A handler for `body`, in a crate of the strictest lint.
fn handler(attribute: &str, body: &str) -> String {
    format!(
        "#[derive(serde::Serialize, serde::Deserialize)]\npub struct {body};\n\
         #[pulpo::handler({attribute})]\npub fn {}(_: {body}) {{}}\n",
        body.to_lowercase()
    )
}

/// A job that is declared on its type.
fn job(attribute: &str, body: &str) -> String {
    format!("#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]\n#[job({attribute})]\npub struct {body};\n")
}

/// Builds a binary of this source that depends on a library of that one;
/// what cargo says, and whether it was content.
fn build(edition: &str, library: &str, binary: &str) -> (bool, String) {
    let workspace = Workspace::new();
    workspace.package("jobs", edition, "", &format!("#![forbid(unsafe_code)]\n{library}"));
    let binary = format!("#![forbid(unsafe_code)]\nuse jobs as _;\n{binary}\nfn main() {{}}\n");
    workspace.package("worker", edition, "jobs = { path = \"../jobs\" }", &binary);
    workspace.cargo(&["build"])
}

#[test]
fn two_handlers_of_one_request_type_do_not_build() {
    for edition in ["2021", "2024"] {
        let (good, said) = build(edition, &handler("\"receive\"", "Receive"), &handler("\"send\"", "Send"));
        assert!(good, "two different ones, edition {edition}: {said}");

        let twice = handler("\"send\"", "Send") + &handler("\"send\"", "Again");
        let (good, said) = build(edition, "", &twice);
        assert!(!good && said.contains(WORDS), "in one crate, edition {edition}: {said}");
        assert!(said.contains("main.rs:9:"), "on the second name: {said}");

        let (good, said) =
            build(edition, &handler("\"send\"", "Send"), &handler("\"resend\", alias = \"send\"", "Again"));
        assert!(!good && said.contains(WORDS), "across crates, edition {edition}: {said}");
    }
}

#[test]
fn a_declared_job_has_its_name_for_itself() {
    let handler_of_it = "#[pulpo::handler]\nfn send(_: jobs::Send) {}\n";
    let (good, said) = build("2024", &job("\"send\"", "Send"), handler_of_it);
    assert!(good, "a job and its handler: {said}");

    let (good, said) = build("2024", &job("\"send\"", "Send"), &handler("\"send\"", "Again"));
    assert!(!good && said.contains(WORDS), "a job and the handler of another type: {said}");

    let (good, said) = build("2024", &job("\"send\"", "Send"), &job("\"resend\", alias = \"send\"", "Again"));
    assert!(!good && said.contains(WORDS), "two jobs: {said}");
}

/// The one handler of a declared job is looked for where it stands and in what
/// it depends on; what is linked beside it, only the registry sees.
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
