//! The documents of the project, for tests that compare them with the code.

use std::fs;
use std::path::Path;

/// A Markdown file of the repository.
#[derive(Debug)]
pub struct Document {
    /// Its path in the repository.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// Returns all documents of the repository, except those in hidden and in target folders.
///
/// # Panics
/// Panics if one cannot be read.
#[must_use]
pub fn all() -> Vec<Document> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut found = Vec::new();
    gather(root, root, &mut found);
    found
}

fn gather(root: &Path, folder: &Path, found: &mut Vec<Document>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        let name = entry.file_name().expect("a name").to_string_lossy().into_owned();
        if entry.is_dir() && name != "target" && !name.starts_with('.') {
            gather(root, &entry, found);
        } else if name.ends_with(".md") {
            let name = entry.strip_prefix(root).expect("within the repository").display().to_string();
            found.push(Document { name, text: fs::read_to_string(&entry).expect("a text") });
        }
    }
}

/// Returns the code of a document: each line of its blocks, and each span between backticks.
#[must_use]
pub fn code(text: &str) -> Vec<String> {
    let (mut lines, mut prose) = (Vec::new(), String::new());
    let mut is_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if is_code {
            lines.push(line.to_owned());
        } else {
            prose += line;
            prose.push('\n');
        }
    }
    lines.extend(prose.split('`').skip(1).step_by(2).map(str::to_owned));
    lines
}

/// Returns the text without its blocks of code.
#[must_use]
pub fn prose(text: &str) -> String {
    let mut is_code = false;
    let line = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    };
    text.lines().filter(line).collect::<Vec<_>>().join("\n")
}
