//! A workspace of small crates that depend on pulpo, and cargo run on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// All tests share one target folder, so that their dependencies are built once, and they reuse
/// package names. So they run one at a time.
static TURN: Mutex<()> = Mutex::new(());

pub(crate) struct Workspace {
    folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Workspace {
    pub(crate) fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let workspace = Self { folder: tempfile::tempdir().expect("a folder"), _turn: turn };
        workspace.write("Cargo.toml", "[workspace]\nresolver = \"2\"\nmembers = [\"*\"]\nexclude = [\"target\"]\n");
        fs::copy(root().join("Cargo.lock"), workspace.folder.path().join("Cargo.lock")).expect("the lock file");
        workspace
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("created");
        fs::write(path, text).expect("written");
    }

    /// Creates a package from this source, which is a program if it has a `main`. It depends on
    /// serde and on `dependencies`, and on pulpo unless these include it under another name.
    pub(crate) fn package(&self, name: &str, edition: &str, dependencies: &str, source: &str) {
        let pulpo = format!("pulpo = {{ path = {:?}, default-features = false }}", root().join("pulpo"));
        let pulpo = if dependencies.contains("pulpo") { "" } else { &pulpo };
        let manifest = format!(
            "[package]\nname = \"{name}\"\nedition = \"{edition}\"\n[dependencies]\n{pulpo}\n\
             serde = {{ version = \"1\", features = [\"derive\"] }}\n{dependencies}\n"
        );
        self.write(&format!("{name}/Cargo.toml"), &manifest);
        let is_program = source.contains("fn main(") || source.contains("::main!");
        self.write(&format!("{name}/src/{}", if is_program { "main.rs" } else { "lib.rs" }), source);
    }

    /// Returns the path of the workspace.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the path of the file that cargo has built under this name.
    pub(crate) fn built(&self, name: &str) -> String {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("debug").join(name).to_string_lossy().into_owned()
    }

    /// Runs cargo. Returns whether it succeeded, and the output of cargo or the program.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> (bool, String) {
        self.cargo_with(arguments, &[])
    }

    /// Does the same with more variables in its environment.
    pub(crate) fn cargo_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> (bool, String) {
        let (command, rest) = arguments.split_first().expect("a command");
        let output = Command::new(env!("CARGO"))
            .args([command, "--offline", "--quiet"])
            .args(rest)
            .current_dir(self.folder.path())
            .env("CARGO_TARGET_DIR", env!("CARGO_TARGET_TMPDIR"))
            .env("CARGO_INCREMENTAL", "0")
            .env_remove("RUSTFLAGS")
            .envs(environment.iter().copied())
            .output()
            .expect("cargo runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }
}

/// Returns the dependency on the crate `pulpo`, under any name.
pub(crate) fn pulpo(name: &str, features: &str) -> String {
    let path = root().join("pulpo");
    format!("{name} = {{ package = \"pulpo\", path = {path:?}, default-features = false, features = [{features}] }}\n")
}

/// Returns the root folder of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}
