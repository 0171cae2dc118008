//! The links between the texts of the project lead somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// All texts, those aside that a build has made.
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

/// The text without its blocks of code.
fn prose(text: &str) -> String {
    let mut code = false;
    let line = |line: &&str| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    };
    text.lines().filter(line).collect::<Vec<_>>().join("\n")
}

/// Where its links lead: what stands in the parentheses behind brackets.
fn links(prose: &str) -> Vec<String> {
    let ends = prose.split("](").skip(1);
    ends.filter_map(|rest| rest.split_once(')')).map(|(link, _)| link.to_owned()).collect()
}

/// The names of its headings, as a link says them.
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
            if link.contains("://") {
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
