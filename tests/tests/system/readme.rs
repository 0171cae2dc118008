//! The README, followed literally by a crate outside the workspace.

use std::path::Path;
use std::process::Command;

use pulpo_tests::program::Sandbox;

/// Returns the first code block of the README in this language.
fn block(readme: &str, language: &str) -> String {
    let (_, rest) = readme.split_once(&format!("```{language}\n")).expect("a block");
    rest.split_once("```").expect("its end").0.to_owned()
}

#[test]
fn the_ten_lines_of_the_readme_work() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").canonicalize().expect("a path");
    let readme = std::fs::read_to_string(root.join("README.md")).expect("the README");
    let place = Sandbox::new();
    let written = "path = \"../pulpo/pulpo\"";
    let dependencies = block(&readme, "toml");
    assert!(dependencies.contains(written), "{dependencies}");
    let dependencies = dependencies.replace(written, &format!("path = {:?}", root.join("pulpo")));
    let manifest = format!("[package]\nname = \"shop\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n{dependencies}");
    std::fs::write(place.path("Cargo.toml"), manifest).expect("written");
    std::fs::create_dir(place.path("src")).expect("made");
    std::fs::write(place.path("src/main.rs"), block(&readme, "rust")).expect("written");
    std::fs::copy(root.join("Cargo.lock"), place.path("Cargo.lock")).expect("the versions that are here");

    let target = root.join("target");
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

    let shop = target.join("debug/shop");
    let shop = shop.to_str().expect("a path");
    for body in [r#"{"to": "ada@example.com", "subject": "hello"}"#, r#"{"to": "", "subject": "hello"}"#] {
        let said = place.run(shop, &["publish", "send_email", "--body", body]);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
    }
    let said = place.run(shop, &["publish", "send_email", "--body", r#"{"to": 5}"#]);
    let quoted = readme.lines().find(|line| line.starts_with("error: the body does not fit")).expect("in the README");
    assert_eq!(said.err.trim_end(), quoted);
    let arguments = ["--set", "sleep_duration=200ms", "--set", "shutdown_after_number_of_empty_iterations=1"];
    let said = place.run(shop, &arguments);
    assert_eq!((said.code, said.out.as_str()), (0, "to ada@example.com: hello\n"), "{}", said.err);
    let said = place.run(shop, &["list", "--state", "buried"]);
    assert!(said.out.contains("no recipient"), "{}", said.out);
    assert_eq!(place.run(shop, &["kick", "2"]).out, "kicked 1\n");
}
