//! Commands and options that the documents name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use pulpo_tests::documents::{Document, all};
use pulpo_tests::program::Sandbox;
use serde_json::Value;

use super::{as_json, well};

/// The programs that stand for a user's own in the documents.
const PROGRAMS: [&str; 4] = ["my-worker", "mailer", "quickstart", "cargo run -q --"];

const SCHEDULED: &str = env!("CARGO_BIN_EXE_scheduled_worker");

/// Returns the commands below a program or a command, with what each does.
pub(super) fn commands(help: &str) -> Vec<(String, String)> {
    let Some((_, listed)) = help.split_once("Commands:\n") else { return Vec::new() };
    let mut found: Vec<(String, String)> = Vec::new();
    for line in listed.lines().take_while(|line| !line.is_empty()) {
        let text = line.trim();
        match (found.last_mut(), line.strip_prefix("  ").filter(|line| !line.starts_with(' '))) {
            (_, Some(entry)) => {
                let (name, does) = entry.split_once(' ').expect("a name and a text");
                found.push((name.to_owned(), does.trim().to_owned()));
            }
            (Some((_, does)), None) => *does = format!("{does} {text}"),
            (None, None) => panic!("expected a command: {line}"),
        }
    }
    found.retain(|(name, _)| name != "help");
    found
}

/// Returns the options of a word such as `--limit` or `--set=KEY`.
fn option(word: &str) -> Option<String> {
    let name = word.strip_prefix("--").filter(|name| !name.is_empty())?;
    let end = name.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(name.len());
    Some(name[..end].to_owned())
}

/// Each command, and each one below it, with its options. The empty name is the program.
fn options_of_commands(place: &Sandbox) -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    let mut open = vec![String::new()];
    while let Some(name) = open.pop() {
        let words: Vec<_> = name.split_whitespace().chain(["--help"]).collect();
        let help = well(place, &words);
        let lines = help.lines().filter(|line| line.trim_start().starts_with('-'));
        let options = lines.flat_map(str::split_whitespace).filter_map(option).collect();
        open.extend(commands(&help).into_iter().map(|(below, _)| format!("{name} {below}").trim_start().to_owned()));
        all.insert(name, options);
    }
    all
}

/// Returns the text without what is quoted and without a comment, neither of which has options.
fn unquoted(text: &str) -> String {
    let mut quote = None;
    let mut kept = String::new();
    for c in text.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => {}
            None if matches!(c, '\'' | '"') => {
                quote = Some(c);
                kept.push('Q');
            }
            None => kept.push(c),
        }
    }
    kept.split(" # ").next().unwrap_or_default().to_owned()
}

/// Returns the command in a piece of code, without its program.
fn command_in(code: &str, known: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let code = unquoted(code).split_whitespace().collect::<Vec<_>>().join(" ");
    for program in PROGRAMS {
        if let Some((before, rest)) = code.split_once(&format!("{program} ")) {
            let whole = before.is_empty() || before.ends_with([' ', '/']) && !before.ends_with("--bin ");
            if whole {
                return Some(rest.to_owned());
            }
        }
    }
    // In a sentence, the program may be left out.
    let first = code.split(' ').next()?;
    (known.contains_key(first) && code.contains("--")).then_some(code)
}

#[test]
fn each_command_in_a_document_exists_and_has_its_options() {
    let place = Sandbox::new();
    let known = options_of_commands(&place);
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for Document { name, text } in all() {
        for code in pulpo_tests::documents::code(&text) {
            let Some(command) = command_in(&code, &known) else { continue };
            seen += 1;
            let mut words = command.split(' ').take_while(|word| !word.starts_with('-'));
            let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let both = format!("{first} {second}");
            let Some(options) = known.get(&both).or_else(|| known.get(first)) else {
                wrong.push(format!("{name}: there is no command {first:?}: {code}"));
                continue;
            };
            for option in command.split(' ').filter_map(option).filter(|option| !options.contains(option)) {
                wrong.push(format!("{name}: {first} has no option --{option}: {code}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 100, "found {seen} commands");
}

#[test]
fn the_list_of_commands_in_the_documentation_is_that_of_the_program() {
    let place = Sandbox::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let page = fs::read_to_string(root.join("docs/operating.md")).expect("the page");
    let (_, below) = page.split_once("\n# All commands\n").expect("the section");
    let rows = below.lines().skip_while(|line| !line.starts_with("| `")).map_while(|line| line.strip_prefix("| `"));
    let rows = rows.map(|row| row.trim_end_matches(" |").split_once("` | ").expect("two cells"));
    let listed: Vec<_> = rows.map(|(name, does)| (name.to_owned(), does.to_owned())).collect();
    assert_eq!(listed, commands(&well(&place, &["--help"])));
}

#[test]
fn each_command_that_prints_json_is_described() {
    let place = Sandbox::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let page = fs::read_to_string(root.join("docs/json.md")).expect("the page");
    let sections: BTreeSet<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let known = options_of_commands(&place);
    let prints: BTreeSet<_> =
        known.iter().filter(|(_, options)| options.contains("json")).map(|(name, _)| name).collect();
    // A section may describe more than one command, in its text.
    let is_described = |name: &str| sections.contains(name) || page.contains(&format!("`{name}`"));
    let missing: Vec<_> = prints.iter().filter(|name| !is_described(name)).collect();
    assert!(missing.is_empty(), "docs/json.md does not describe {missing:?}");
    let gone: Vec<_> = sections
        .iter()
        .filter(|name| {
            let command = name.split(" --").next().unwrap_or_default();
            !known.get(command).is_some_and(|options| options.contains("json"))
        })
        .collect();
    assert!(gone.is_empty(), "docs/json.md describes {gone:?}, which print no JSON");
}

/// Returns the headings of a table, or `None` if the line has none.
fn headings(line: &str) -> Option<Vec<&str>> {
    let is_heading = |word: &&str| word.chars().all(|c| c.is_ascii_uppercase());
    let words: Vec<_> = line.split_whitespace().collect();
    (words.len() > 3 && words.iter().all(is_heading)).then_some(words)
}

#[test]
fn each_table_in_a_document_has_the_headings_of_its_command() {
    let place = Sandbox::new();
    well(&place, &["publish", "echo", "--payload", "good"]);
    let said = |command: &str| place.run(SCHEDULED, &[command]).out;
    let tables: BTreeMap<_, _> = ["list", "schedule", "stats"].map(|command| (command, said(command))).into();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for Document { name, text } in all() {
        let lines = pulpo_tests::documents::code(&text);
        for pair in lines.windows(2) {
            let (command, line) = (&pair[0], &pair[1]);
            let Some(found) = command.strip_prefix("$ ").and(headings(line)) else { continue };
            let Some((_, table)) = tables.iter().find(|(name, _)| command.split(' ').any(|word| word == **name)) else {
                wrong.push(format!("{name}: expected a table of {:?}, got {command}", tables.keys()));
                continue;
            };
            seen += 1;
            let real = table.lines().next().expect("a line");
            let indent = |line: &str| line.len() - line.trim_start().len();
            if headings(real).as_ref() != Some(&found) || indent(real) != indent(line) {
                wrong.push(format!("{name}: expected {real:?} after {command}, got {line:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 3, "found {seen} tables");
}

/// Returns a value as the configuration writes it: `25 seconds by default` as `25s`.
fn brief(value: &str) -> String {
    let value = value.trim_end_matches(" by default");
    value.replace(" seconds", "s").replace(" minutes", "m").replace(' ', "")
}

#[test]
fn each_value_behind_the_name_of_a_key_is_its_default() {
    let keys = as_json(&Sandbox::new(), &["config", "--json"]);
    let text_of = |value: &Value| value.as_str().expect("a text").to_owned();
    let keys: BTreeMap<_, _> =
        keys.as_array().expect("a list").iter().map(|key| (text_of(&key["key"]), text_of(&key["default"]))).collect();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for Document { name, text } in all() {
        for (key, default) in &keys {
            let named = format!("`{key}`");
            let places = text.split(&named).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('('));
            let values = places.filter_map(|rest| rest.split([')', ',']).next());
            for value in values.filter(|value| value.starts_with(|c: char| c.is_ascii_digit())) {
                seen += 1;
                if brief(value) != *default {
                    wrong.push(format!("{name}: {key} is {default} by default, and the text says {value}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 4, "found {seen} values");
}
