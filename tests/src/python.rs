//! A Python interpreter with the clients for beanstalkd and PostgreSQL that Python programs use.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the interpreter that `./check` has set up.
///
/// # Panics
/// Panics if it does not exist; `./check` creates it.
#[must_use]
pub fn interpreter() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let python = root.join("target/python/bin/python");
    let there = Command::new(&python).args(["-c", "import greenstalk, psycopg"]).output();
    assert!(
        there.is_ok_and(|output| output.status.success()),
        "expected a Python with greenstalk and psycopg at {}: run ./check --install, which makes it",
        python.display()
    );
    python
}
