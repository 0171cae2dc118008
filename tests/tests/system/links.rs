//! Checks that the links between the documents of the project lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Collects all documents, except generated ones.
fn texts(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        let name = entry.file_name().expect("a name").to_string_lossy().into_owned();
        if entry.is_dir() && name != "target" && !name.starts_with('.') {
            texts(&entry, found);
        } else if name.ends_with(".md") {
            found.push(entry);
        }
    }
}

/// Removes code blocks from a text.
fn prose(text: &str) -> String {
    let mut code = false;
    let line = |line: &&str| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    };
    text.lines().filter(line).collect::<Vec<_>>().join("\n")
}

/// Returns the targets of its links: the texts in parentheses after brackets.
fn links(prose: &str) -> Vec<String> {
    let ends = prose.split("](").skip(1);
    ends.filter_map(|rest| rest.split_once(')')).map(|(link, _)| link.to_owned()).collect()
}

/// Returns the names of its headings, as links write them.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let slug = |title: &str| {
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    titles.map(slug).collect()
}

#[test]
fn each_link_of_a_text_leads_to_a_file_and_a_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let mut all = Vec::new();
    texts(root, &mut all);
    let (mut dead, mut seen) = (Vec::new(), 0);
    for file in &all {
        let text = fs::read_to_string(file).expect("a text");
        for link in links(&prose(&text)) {
            // rustdoc checks links to items of the crate.
            if link.contains("://") || link.starts_with("crate::") {
                continue;
            }
            seen += 1;
            let (path, heading) = link.split_once('#').map_or((link.as_str(), None), |(path, h)| (path, Some(h)));
            let target = if path.is_empty() { file.clone() } else { file.with_file_name("").join(path) };
            let alive = match heading {
                None => target.exists(),
                Some(heading) => fs::read_to_string(&target).is_ok_and(|text| headings(&text).contains(heading)),
            };
            if !alive {
                dead.push(format!("{}: {link}", file.strip_prefix(root).expect("within").display()));
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
    assert!(seen > 10, "found the links");
}

#[test]
fn each_page_of_the_documentation_is_in_its_index() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let index = fs::read_to_string(root.join("docs/README.md")).expect("the index");
    let linked: BTreeSet<_> = links(&index).into_iter().collect();
    let mut pages = Vec::new();
    texts(&root.join("docs"), &mut pages);
    let names = pages.iter().map(|page| page.strip_prefix(root.join("docs")).expect("within").display().to_string());
    let missing: Vec<_> = names.filter(|name| name != "README.md" && !linked.contains(name)).collect();
    assert!(missing.is_empty(), "docs/README.md has no link to {missing:?}");
}

#[test]
fn each_part_of_the_check_that_a_text_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let listed = Command::new(root.join("check")).arg("--list").output().expect("the check runs");
    let listed = String::from_utf8(listed.stdout).expect("text");
    let parts: BTreeSet<_> = listed.lines().collect();
    for file in ["CONTRIBUTING.md", "RELEASING.md", "README.md"] {
        let text = fs::read_to_string(root.join(file)).expect("a text");
        for call in text.split("./check").skip(1) {
            let words = call.split(['`', '\n', '#']).next().unwrap_or_default().split_whitespace();
            let unknown: Vec<_> = words.filter(|word| !word.starts_with("--") && !parts.contains(word)).collect();
            assert!(unknown.is_empty(), "{file} says ./check {unknown:?}, and there are {parts:?}");
        }
    }
    assert!(parts.len() > 10, "{parts:?}");
}
