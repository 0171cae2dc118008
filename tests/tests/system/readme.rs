//! The README and the first page of the guide, followed literally by a crate outside the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

use pulpo_tests::program::Sandbox;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").canonicalize().expect("a path")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).expect("a document")
}

/// Returns the code blocks of a document in this language.
fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let starts = document.split(fence.as_str()).skip(1);
    starts.map(|rest| rest.split_once("```").expect("its end").0).collect()
}

/// Builds the program of the README, and returns its path.
fn shop(readme: &str) -> String {
    let place = Sandbox::new();
    let written = "path = \"../pulpo/pulpo\"";
    let dependencies = blocks(readme, "toml")[0];
    assert!(dependencies.contains(written), "{dependencies}");
    let dependencies = dependencies.replace(written, &format!("path = {:?}", root().join("pulpo")));
    let manifest = format!("[package]\nname = \"shop\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n{dependencies}");
    std::fs::write(place.path("Cargo.toml"), manifest).expect("written");
    std::fs::create_dir(place.path("src")).expect("made");
    std::fs::write(place.path("src/main.rs"), blocks(readme, "rust")[0]).expect("written");
    std::fs::copy(root().join("Cargo.lock"), place.path("Cargo.lock")).expect("the versions that are here");

    let target = root().join("target");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--quiet"])
        // As in the workspace, so that compiled crates are reused.
        .args(["--config", "profile.dev.debug='line-tables-only'"])
        .args(["--config", "profile.dev.package.libsqlite3-sys.opt-level=3"])
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(place.folder())
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success() && said.is_empty(), "it builds without a warning: {said}");
    target.join("debug/shop").to_str().expect("a path").to_owned()
}

/// Returns the commands of a document that run the program, each with the output that follows it.
fn session(document: &str) -> Vec<(String, String)> {
    let mut steps: Vec<(String, String)> = Vec::new();
    for line in blocks(document, "console").iter().flat_map(|block| block.lines()) {
        match (line.strip_prefix("$ cargo run -q -- "), steps.last_mut()) {
            (Some(arguments), _) => steps.push((arguments.to_owned(), String::new())),
            (None, Some((_, output))) => *output += &format!("{line}\n"),
            (None, None) => panic!("expected a command of the program: {line}"),
        }
    }
    steps
}

/// Removes ages, which differ between runs, and the widths of columns, which depend on them.
fn ageless(text: &str) -> Vec<Vec<&str>> {
    let mut rows = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_age = |place: usize| words.get(place + 1) == Some(&"ago");
        rows.push((0..words.len()).map(|place| if is_age(place) { "AGE" } else { words[place] }).collect());
    }
    rows
}

/// Runs the session of a document in an empty folder, and compares the output.
#[track_caller]
fn follow(shop: &str, document: &str) -> usize {
    let place = Sandbox::new();
    let steps = session(document);
    for (arguments, expected) in &steps {
        // A shell reads quotes and comments. The worker ends when nothing is left, in place of Ctrl-C.
        let said = place.to_end(
            place
                .command("sh", &["-c", &format!("'{shop}' {arguments}")])
                .env("PULPO_SLEEP_DURATION", "200ms")
                .env("PULPO_SHUTDOWN_AFTER_NUMBER_OF_EMPTY_ITERATIONS", "1"),
        );
        let errors: String =
            said.err.lines().filter(|line| line.starts_with("error: ")).map(|l| format!("{l}\n")).collect();
        assert_eq!(ageless(&format!("{}{errors}", said.out)), ageless(expected), "{arguments}: {}", said.err);
        assert_eq!(said.code, i32::from(!errors.is_empty()), "{arguments}: {}", said.err);
    }
    steps.len()
}

#[test]
fn the_readme_and_the_first_page_of_the_guide_work() {
    let readme = read("README.md");
    let shop = shop(&readme);
    assert_eq!(follow(&shop, &readme), 3);
    assert_eq!(follow(&shop, &read("pulpo/src/guide/getting_started.md")), 6);
    assert_eq!(follow(&shop, &read("pulpo/README.md")), 2);
}

#[test]
fn the_readme_of_the_package_has_the_program_of_the_other() {
    assert_eq!(blocks(&read("pulpo/README.md"), "rust,no_run"), blocks(&read("README.md"), "rust"));
}

/// Returns the versions of Rust that a text names.
fn compilers(text: &str) -> Vec<String> {
    let starts = ["Rust ", "rust-", "toolchain (", "cargo +"];
    let versions = starts.iter().flat_map(|start| text.split(start).skip(1));
    let digits = |rest: &str| rest.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect::<String>();
    versions
        .map(digits)
        .filter(|version| version.starts_with("1."))
        .map(|version| version.trim_end_matches('.').to_owned())
        .collect()
}

#[test]
fn the_documents_name_the_oldest_compiler_of_the_workspace() {
    let manifest = read("Cargo.toml");
    let oldest = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).expect("a version");
    let files = [
        "README.md",
        "pulpo/README.md",
        "CONTRIBUTING.md",
        "RELEASING.md",
        "CHANGELOG.md",
        ".github/workflows/check.yml",
    ];
    for file in files {
        let named = compilers(&read(file));
        assert!(!named.is_empty(), "{file} names a version");
        assert!(named.iter().all(|version| version == oldest.trim_matches('"')), "{file} names {named:?}");
    }
}
