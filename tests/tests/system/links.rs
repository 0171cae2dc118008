//! Checks that the links between the documents of the project lead somewhere, and that what they run exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use pulpo_tests::documents::{Document, all, code, prose};
use serde_json::Value;

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
    let (mut dead, mut seen) = (Vec::new(), 0);
    for Document { name, text } in all() {
        let file = root.join(&name);
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
                dead.push(format!("{name}: {link}"));
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
    assert!(seen > 10, "found the links");
}

/// Returns whether a span of code is the path of a file in this repository, and not in a program of a user.
fn is_path(span: &str) -> bool {
    let tops = ["bench", "contrib", "docs", "examples", "fuzz", "pulpo", "pulpo-macros", "scripts", "tests"];
    let is_plain = span.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let is_form = span.split('/').any(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase()));
    is_plain && !is_form && span.split_once('/').is_some_and(|(top, _)| tops.contains(&top))
}

#[test]
fn each_file_that_a_text_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let (mut gone, mut seen) = (Vec::new(), 0);
    for Document { name, text } in all() {
        for path in prose(&text).split('`').skip(1).step_by(2).filter(|span| is_path(span)) {
            seen += 1;
            if !root.join(path).exists() {
                gone.push(format!("{name}: {path}"));
            }
        }
    }
    assert!(gone.is_empty(), "no such files:\n{}", gone.join("\n"));
    assert!(seen > 30, "found {seen} paths");
}

#[test]
fn each_page_of_the_documentation_is_in_its_index() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let index = fs::read_to_string(root.join("docs/README.md")).expect("the index");
    let linked: BTreeSet<_> = links(&index).into_iter().collect();
    let pages = all().into_iter().map(|document| document.name);
    let names = pages.filter_map(|name| name.strip_prefix("docs/").map(str::to_owned));
    let missing: Vec<_> = names.filter(|name| name != "README.md" && !linked.contains(name)).collect();
    assert!(missing.is_empty(), "docs/README.md has no link to {missing:?}");
}

#[test]
fn each_part_of_the_check_that_a_text_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let listed = Command::new(root.join("check")).arg("--list").output().expect("the check runs");
    let listed = String::from_utf8(listed.stdout).expect("text");
    let parts: BTreeSet<_> = listed.lines().collect();
    for Document { name, text } in all() {
        for call in text.split("./check").skip(1) {
            let words = call.split(['`', '\n', '#']).next().unwrap_or_default().split_whitespace();
            let unknown: Vec<_> = words.filter(|word| !word.starts_with("--") && !parts.contains(word)).collect();
            assert!(unknown.is_empty(), "{name} says ./check {unknown:?}, and there are {parts:?}");
        }
    }
    assert!(parts.len() > 10, "{parts:?}");
}

/// Returns the names of the targets of each package, as `--bin NAME`, `--test NAME`, and so on.
fn targets() -> BTreeMap<String, BTreeSet<String>> {
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
    let output = Command::new(env!("CARGO")).args(arguments).output().expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let of_package = |package: &Value| {
        let targets = list(&package["targets"]).into_iter();
        let names = targets.map(|target| format!("--{} {}", text(&target["kind"][0]), text(&target["name"])));
        (text(&package["name"]), names.collect())
    };
    list(&metadata["packages"]).iter().map(of_package).collect()
}

#[test]
fn each_package_program_and_test_that_a_document_runs_exists() {
    let packages = targets();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for Document { name, text } in all() {
        for line in code(&text).iter().filter_map(|line| line.split_once("cargo ")) {
            let call = line.1.split(['#', '`']).next().unwrap_or_default();
            let words: Vec<_> = call.split_whitespace().take_while(|word| *word != "--").collect();
            let after = |option: &str| words.iter().skip_while(|word| **word != option).nth(1).copied();
            let Some(package) = after("-p") else { continue };
            // Other packages come from a registry; a name in capitals stands for any.
            let Some(targets) = packages.get(package) else {
                if package.starts_with("pulpo") {
                    wrong.push(format!("{name}: there is no package {package}: {call}"));
                }
                continue;
            };
            seen += 1;
            for option in ["--bin", "--test", "--example", "--bench"] {
                let target = after(option).filter(|target| target.contains(|c: char| c.is_lowercase()));
                if let Some(target) = target.filter(|target| !targets.contains(&format!("{option} {target}"))) {
                    wrong.push(format!("{name}: {package} has no {option} {target}: {call}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 10, "found {seen} calls of cargo");
}
