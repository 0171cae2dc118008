//! The published packages: the files of each, and the dependencies of each feature.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).arg("--offline").output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a text")
}

/// Returns the crates that a program with these features of pulpo is built from.
fn crates(features: &str) -> BTreeSet<String> {
    let arguments = ["tree", "-p", "pulpo", "-e", "normal", "--prefix", "none", "--no-default-features", "--features"];
    let tree = cargo(&[&arguments[..], &[features]].concat());
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn each_feature_brings_what_it_needs_and_nothing_of_another() {
    let none = crates("");
    let own = [
        ("file", &["rusqlite", "libsqlite3-sys", "notify"][..]),
        // We implement the protocol; other features also bring the crates that its sockets need.
        ("beanstalkd", &[][..]),
        ("cli", &["clap", "clap_complete", "tracing-subscriber"][..]),
        ("http", &["axum", "hyper", "hyper-util", "metrics-exporter-prometheus"][..]),
    ];
    for (feature, names) in own {
        let with = crates(feature);
        assert!(with.is_superset(&none), "{feature} takes nothing away");
        for name in names {
            assert!(with.contains(*name), "{feature} without {name}");
            assert!(!none.contains(*name), "{name} without any feature");
            for (other, _) in own.iter().filter(|(other, _)| *other != feature) {
                assert!(!crates(other).contains(*name), "{other} with {name}");
            }
        }
    }
    assert!(crates("beanstalkd").contains("rustix") && !crates("file,beanstalkd,cli,http").contains("beanstalkc"));
    // Two features use this crate, and each needs it on its own too.
    assert!(crates("tokio").contains("tokio") && !none.contains("tokio"));
    assert_eq!(crates("metrics"), crates("http"), "one feature by two names");
    assert_eq!(crates("testing"), crates("file"));
    assert_eq!(crates("conformance"), none);
}

#[test]
fn the_page_of_figures_says_how_many_crates_are_built() {
    let page = include_str!("../../../docs/figures.md");
    let (_, table) = page.split_once("| features   | crates |").expect("the table");
    let rows: Vec<_> = table.lines().skip(2).map_while(|line| line.strip_prefix("| `")).collect();
    assert_eq!(rows.len(), 3, "{rows:?}");
    for row in rows {
        let (features, rest) = row.split_once('`').expect("features");
        let count: usize = rest.split('|').nth(1).expect("a cell").trim().parse().expect("a number");
        let arguments = ["tree", "-p", "pulpo", "-e", "normal,build", "--prefix", "none", "-f", "{p}"];
        let chosen = ["--no-default-features", "--features", features];
        let tree = cargo(&[&arguments[..], &chosen].concat());
        let crates: BTreeSet<_> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
        assert_eq!(crates.len(), count, "{features}: {crates:#?}");
    }
}

#[test]
fn the_page_of_other_crates_has_the_tables_of_the_check() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(root.join("scripts/beside")).arg("--tables").output().expect("started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tables = String::from_utf8(output.stdout).expect("a text");
    let page = include_str!("../../../docs/beside-other-crates.md");
    let (crates, versions) = tables.trim_end().split_once("\n\n").expect("two tables");
    for table in [crates, versions] {
        assert!(page.contains(&format!("\n\n{table}\n\n")), "expected this table in the page:\n{table}");
    }
    let oldest = versions.lines().nth(2).and_then(|row| row.split(' ').nth(1)).expect("a version");
    let newest = versions.lines().last().and_then(|row| row.split(' ').nth(1)).expect("a version");
    assert!(page.contains(&format!("rusqlite from {oldest} to {newest}")), "{oldest} to {newest}");
    let script = std::fs::read_to_string(root.join("scripts/beside")).expect("a file");
    let features = script.lines().find_map(|line| line.strip_prefix("WITHOUT_QUEUE = '")).expect("a line");
    assert!(page.contains(features.trim_end_matches('\'')), "expected {features}");
}

#[test]
fn each_package_has_its_licences_its_readme_and_its_source_alone() {
    for (package, source) in [("pulpo", "src/lib.rs"), ("pulpo-macros", "src/lib.rs")] {
        let listed = cargo(&["package", "--list", "--allow-dirty", "-p", package]);
        let files: BTreeSet<_> = listed.lines().collect();
        for file in ["Cargo.toml", "LICENSE-APACHE", "LICENSE-MIT", "README.md", source] {
            assert!(files.contains(file), "{package} without {file}");
        }
        let made = ["Cargo.toml", "Cargo.toml.orig", "Cargo.lock", ".cargo_vcs_info.json"];
        let known = |file: &str| file.starts_with("src/") || file.starts_with("LICENSE-") || file == "README.md";
        let other: Vec<_> = files.iter().filter(|file| !known(file) && !made.contains(file)).collect();
        assert!(other.is_empty(), "{package} with {other:?}");
    }
}

/// Returns the versions that a text gives pulpo in a dependency: `pulpo = "0.1"`, `pulpo = { version = "0.1", … }`.
fn versions(text: &str) -> Vec<&str> {
    let dependencies = text.split("pulpo = ").skip(1);
    let versions = dependencies.filter_map(|rest| rest.strip_prefix("{ version = ").unwrap_or(rest).strip_prefix('"'));
    versions.filter_map(|rest| rest.split_once('"')).map(|(version, _)| version).collect()
}

#[test]
fn the_documents_depend_on_the_version_of_the_workspace() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("the manifest");
    let version =
        manifest.lines().find_map(|line| line.strip_prefix("version = ")).expect("a version").trim_matches('"');
    let (minor, _) = version.rsplit_once('.').expect("three numbers");
    let macros = std::fs::read_to_string(root.join("pulpo/Cargo.toml")).expect("the manifest of the library");
    assert!(macros.contains(&format!("pulpo-macros = {{ path = \"../pulpo-macros\", version = \"={version}\" }}")));

    let mut files = vec![root.join("README.md"), root.join("pulpo/README.md"), root.join("pulpo/src/lib.rs")];
    for folder in ["docs", "pulpo/src/guide"] {
        files.extend(
            std::fs::read_dir(root.join(folder)).expect("a folder").map(|entry| entry.expect("an entry").path()),
        );
    }
    let mut seen = 0;
    for file in files.iter().filter(|file| file.is_file()) {
        for found in versions(&std::fs::read_to_string(file).expect("a text")) {
            assert_eq!(found, minor, "{} depends on another version", file.display());
            seen += 1;
        }
    }
    assert!(seen >= 4, "found the dependencies");
}

#[test]
fn the_page_of_other_frameworks_names_the_versions_of_the_programs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let page = include_str!("../../../docs/beside-other-frameworks.md");
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut seen = 0;
    for program in ["apalis", "effectum", "graphile", "sidekiq"] {
        let manifest = root.join("bench/others").join(program).join("Cargo.toml");
        let manifest = std::fs::read_to_string(manifest).expect("the manifest");
        for line in manifest.lines() {
            let Some((name, version)) = line.split_once(" = \"=") else { continue };
            let version = version.trim_end_matches('"');
            assert!(page.contains(&format!("{name} {version}")), "the page does not name {name} {version}");
            seen += 1;
        }
    }
    assert_eq!(seen, 5, "each framework is pinned");
}

/// The features that want a newer compiler than the oldest one of the workspace: sqlx 0.9 does.
const NEWER: [&str; 3] = ["sqlx-09", "sqlx-postgres", "sqlx-sqlite"];

#[test]
fn the_workflow_tries_the_oldest_compiler_with_each_feature_that_it_can_build() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let workflow = std::fs::read_to_string(root.join(".github/workflows/check.yml")).expect("the workflow");
    let (_, chosen) = workflow.split_once("check -p pulpo --locked --features ").expect("the step");
    let chosen: BTreeSet<_> = chosen.lines().next().expect("a line").split(',').collect();
    let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    let pulpo = packages.iter().find(|package| package["name"] == "pulpo").expect("the library");
    let features = pulpo["features"].as_object().expect("features");
    let defaults: Vec<_> = features["default"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let is_asked_for = |name: &&str| *name != "default" && !defaults.contains(name) && !NEWER.contains(name);
    let expected: BTreeSet<_> = features.keys().map(String::as_str).filter(is_asked_for).collect();
    assert_eq!(chosen, expected);
}
