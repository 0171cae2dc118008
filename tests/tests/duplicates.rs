//! What only a build of its own shows: two handlers for one request type,
//! which code generation and the linker see and trybuild does not run; and a
//! pulpo without its features.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

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
    // The target folder is one for all, and so are the names of the packages:
    // what is written now must be newer than what was built before.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = tests.parent().expect("the workspace");
    let directory = tempfile::tempdir().expect("a directory");
    let write = |path: &str, text: String| {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("created");
        fs::write(path, text).expect("written");
    };
    let manifest = |name: &str, more: &str| {
        let pulpo = root.join("pulpo");
        format!(
            "[package]\nname = \"{name}\"\nedition = \"{edition}\"\n[dependencies]\n\
             pulpo = {{ path = {pulpo:?}, default-features = false }}\n\
             serde = {{ version = \"1\", features = [\"derive\"] }}\n{more}"
        )
    };
    write("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"jobs\", \"worker\"]\n".to_owned());
    write("jobs/Cargo.toml", manifest("jobs", ""));
    write("jobs/src/lib.rs", format!("#![forbid(unsafe_code)]\n{library}"));
    write("worker/Cargo.toml", manifest("worker", "jobs = { path = \"../jobs\" }\n"));
    write("worker/src/main.rs", format!("#![forbid(unsafe_code)]\nuse jobs as _;\n{binary}\nfn main() {{}}\n"));
    fs::copy(root.join("Cargo.lock"), directory.path().join("Cargo.lock")).expect("the lock file");

    let output = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--quiet"])
        .current_dir(directory.path())
        // Shared by these tests, so that the dependencies are built once.
        .env("CARGO_TARGET_DIR", env!("CARGO_TARGET_TMPDIR"))
        .env("CARGO_INCREMENTAL", "0")
        .env_remove("RUSTFLAGS")
        .output()
        .expect("cargo runs");
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
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

#[test]
fn an_async_handler_without_the_feature_says_which_one_it_needs() {
    let asynchronous = handler("\"send\"", "Send").replace("pub fn", "pub async fn");
    let (good, said) = build("2024", "", &asynchronous);
    let words = "error: an `async fn` handler needs the feature `tokio` of pulpo: add it to `features` in Cargo.toml";
    assert!(!good && said.contains(words), "{said}");
    assert_eq!(said.matches("error:").count(), 2, "one, and that it could not compile: {said}");
    assert!(said.contains("main.rs:6:5"), "on the keyword: {said}");
}
