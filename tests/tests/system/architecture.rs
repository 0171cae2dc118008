//! Checks that each module of the library imports only modules below it, so that the folders show
//! the design.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use self::modules::{Crate, Imports, circles};
use self::tokens::{Token, tokens};

mod modules;
mod tokens;

/// The modules from the bottom up. A file may use the modules before its own, and its own submodules.
const LAYERS: &[&str] = &[
    "sync",
    "guard",
    "report",
    "model",
    "decode",
    "shape",
    "keys",
    "message",
    "outcome",
    "policy",
    "clock",
    "schedule",
    "process",
    "runtime",
    "http",
    "disposition",
    "job",
    "queue",
    "transaction",
    "outbox",
    "telemetry",
    "producer",
    "state",
    "context",
    "registry",
    "snapshot",
    "check",
    "setup",
    "worker",
    "banner",
    "config",
    "instance",
    "app",
    "status",
    "testing",
    "dashboard",
    "cli",
    "__private",
];

/// Folders that only hold modules of the layers.
const FOLDERS: &[&str] = &["model", "app"];

fn layer(module: &str) -> usize {
    LAYERS.iter().position(|layer| *layer == module).unwrap_or_else(|| panic!("{module} has no place in the layers"))
}

/// Returns the modules that a text names after `crate::`.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.replace("$crate::", "").split("crate::").skip(1).map(str::to_owned).collect::<Vec<_>>())
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
        .filter(|name: &String| name.starts_with(|c: char| c.is_lowercase() || c == '_'))
        .collect()
}

/// Collects the source files of a folder, except tests.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut all = Vec::new();
    files_and_tests(folder, &mut all);
    found.extend(all.into_iter().filter(|file| !file.ends_with("tests.rs")));
}

fn files_and_tests(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            files_and_tests(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

/// Returns the module of the layers that a file belongs to. Those in `model/` and `app/` are layers of their own, which the
/// crate knows without that folder.
fn module_of(file: &Path) -> String {
    let mut names = file.iter().map(|name| name.to_string_lossy());
    let first = names.next().expect("a name");
    let name = if FOLDERS.contains(&&*first) { names.next().expect("a name") } else { first };
    name.strip_suffix(".rs").unwrap_or(&name).to_owned()
}

#[test]
fn each_file_imports_only_those_below_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pulpo/src");
    let mut all = Vec::new();
    files(&source, &mut all);
    assert!(all.len() > 20, "found the source");
    for file in all {
        let path = file.strip_prefix(&source).expect("within");
        let module = module_of(path);
        if module == "lib" {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a text");
        // Tests within a file may use anything.
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for import in imports(code) {
            let fine = import == module || layer(&import) < layer(&module);
            assert!(fine, "{} imports {import}, which is not below it", path.display());
            let adapter = module == "queue" && path.components().count() > 1;
            assert!(!adapter || layer(&import) <= layer("queue"), "{}: an adapter knows {import}", path.display());
        }
    }
}

#[test]
fn no_file_imports_one_that_imports_it_directly_or_through_others() {
    for (name, fewest) in [("pulpo", 300), ("pulpo-macros", 15)] {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src");
        let imports = Crate::read(&source).imports();
        assert!(imports.len() > fewest, "found the source of {name}");
        let found: Vec<_> = circles(&imports).iter().map(|circle| described(circle, &imports)).collect();
        assert!(found.is_empty(), "{name}: {}", found.join("\n"));
    }
}

/// Describes the names that make a circle.
fn described(circle: &BTreeSet<PathBuf>, imports: &Imports) -> String {
    let mut text = String::from("these files import each other:");
    for file in circle {
        for (other, names) in imports[file].iter().filter(|(other, _)| circle.contains(*other)) {
            let names = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            text.push_str(&format!("\n{} imports {names} from {}", file.display(), other.display()));
        }
    }
    text
}

/// Finds the circles in a crate of these files.
fn crate_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        fs::write(file, text).expect("a file");
    }
    let found = circles(&Crate::read(folder.path()).imports());
    let names = |circle: BTreeSet<PathBuf>| circle.iter().map(|file| file.display().to_string()).collect();
    found.into_iter().map(names).collect()
}

#[test]
fn words_in_comments_and_texts_name_nothing() {
    let text = "a::b /* c /* d */ */ \"e \\\" f\" r#\"g\"# b'h' '\\'' 'i' (&'j k) // l\n r#type 12u8 \"m\"";
    let Token::Group(_, inner) = &tokens(&format!("{{{text}}}"))[0] else { panic!("one group") };
    let words: Vec<_> = inner.iter().filter_map(Token::word).collect();
    assert_eq!(words, ["a", "b", "type"]);
    assert_eq!(inner[4], Token::Group('(', vec![Token::Mark('&'), Token::Word("k".to_owned())]));
}

#[test]
fn a_circle_is_found_however_its_names_are_written() {
    let a = "use super::b::{self, Other};\npub struct One;\nfn f(_: Other) { b::f(); }";
    let parent = "mod a;\nmod b;\nmod c;";
    for b in [
        "use super::a::One;\npub struct Other;",
        "pub struct Other;\nfn f() { crate::a::One; }",
        "pub struct Other;\nfn f() { use super::super::super::a::One as Two; }",
        "use crate::{c::{One as Two}};\npub struct Other;",
        "use super::c::*;\npub struct Other;\nfn f(_: self::One) {}",
        "pub struct Other;\nfn f() { println!(\"{}\", crate::c::One); }",
    ] {
        let files = [("lib.rs", parent), ("a.rs", a), ("b.rs", b), ("c.rs", "pub use crate::a::One;")];
        assert_eq!(crate_of(&files), [["a.rs", "b.rs"]], "{b}");
    }
}

#[test]
fn re_exports_and_tests_make_no_circle() {
    let files = [
        ("lib.rs", "mod a;\nmod b;"),
        ("a.rs", "mod inner;\npub use self::inner::One;\npub struct Two;"),
        ("a/inner.rs", "use super::Two;\npub struct One(Two);"),
        ("b.rs", "use crate::a::One;\n#[cfg(test)]\nmod tests { use super::*; }\npub(in crate::a) struct Three(One);"),
    ];
    assert_eq!(crate_of(&files), [[""; 0]; 0]);
    let used = [("a.rs", "mod inner;\npub use self::inner::One;\npub struct Two(Option<Box<One>>);")];
    let files: Vec<_> = files[..1].iter().chain(&used).chain(&files[2..]).copied().collect();
    assert_eq!(crate_of(&files), [["a/inner.rs", "a.rs"]]);
}

#[test]
fn no_module_outside_of_the_queue_names_an_adapter() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pulpo/src");
    let mut all = Vec::new();
    files(&source, &mut all);
    for file in all {
        let path = file.strip_prefix(&source).expect("within").to_string_lossy().into_owned();
        if path.starts_with("queue") {
            continue;
        }
        let text = fs::read_to_string(&file).expect("a text");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let ends = |rest: &str| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
            let named = ["file", "beanstalkd", "several"].iter().find(|name| {
                line.split(&format!("queue::{name}")).skip(1).any(ends) || line.contains(&format!("queue::{{{name}"))
            });
            assert_eq!(named, None, "{path}: {line}");
        }
    }
}

/// Returns every name between backticks that can only be the name of a test.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|name| name.matches('_').count() >= 4 && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
}

#[test]
fn the_map_names_each_module_and_only_files_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let map = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("the map");
    let quoted: BTreeSet<&str> = map.split('`').skip(1).step_by(2).collect();
    let unnamed: Vec<&str> = LAYERS.iter().copied().filter(|module| !quoted.contains(module)).collect();
    assert!(unnamed.is_empty(), "ARCHITECTURE.md does not name {unnamed:?}");
    let files = quoted.into_iter().filter(|name| name.ends_with(".rs") && !name.contains(' '));
    let is_there = |file: &&str| root.join(file).exists() || root.join("pulpo/src").join(file).exists();
    let (there, missing): (Vec<&str>, Vec<&str>) = files.partition(is_there);
    assert!(missing.is_empty(), "ARCHITECTURE.md names {missing:?}");
    assert!(there.len() > 20, "{there:?}");
}

#[test]
fn the_page_of_promises_names_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/promises.md")).expect("a page");
    let mut all = Vec::new();
    for folder in ["tests/tests", "tests/src", "pulpo/src"] {
        files_and_tests(&root.join(folder), &mut all);
    }
    let texts: Vec<_> = all.iter().map(|file| fs::read_to_string(file).expect("a file")).collect();
    let is_there = |name: &&str| texts.iter().any(|text| text.contains(&format!("fn {name}(")));
    let (there, missing): (Vec<_>, Vec<_>) = names(&page).partition(is_there);
    assert_eq!(missing, [""; 0], "of {}", there.len() + missing.len());
    assert!(there.len() > 20, "{there:?}");
}
