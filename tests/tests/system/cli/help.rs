//! `--help` of each command.

use pulpo_tests::program::Sandbox;

use super::terminal::{at_a_terminal_of, shown};
use super::{refused, well};

/// Returns all commands, except the one that runs none.
fn commands(help: &str) -> Vec<String> {
    super::documents::commands(help).into_iter().map(|(name, _)| name).collect()
}

/// Returns the names of the options below a heading.
fn options<'a>(help: &'a str, heading: &str) -> Vec<&'a str> {
    let Some((_, below)) = help.split_once(&format!("\n{heading}:\n")) else { return Vec::new() };
    let lines = below.lines().take_while(|line| !line.is_empty());
    lines.filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--"))).collect()
}

const GLOBAL: [&str; 4] = ["--config", "--set", "--log-level", "--log-format"];

/// Asserts that paragraphs are wrapped only once: no line ends before it has to.
fn assert_wrapped_once(help: &str, columns: usize) {
    let mut before: Option<&str> = None;
    for line in help.lines() {
        assert!(line.chars().count() <= columns, "wider than {columns}: {line}");
        // Paragraphs begin at the left, with a letter; lists are indented.
        let is_prose = line.starts_with(char::is_alphabetic) && !line.ends_with(':') && !line.starts_with("Usage");
        if let Some(before) = before.filter(|_| is_prose) {
            let word = line.split(' ').next().expect("a word");
            let room = columns - before.chars().count();
            assert!(word.chars().count() + 1 > room, "there was room for {word:?} after {before:?}");
        }
        before = is_prose.then_some(line);
    }
}

#[test]
fn options_of_all_commands_stand_apart() {
    let place = Sandbox::new();
    let main = well(&place, &["--help"]);
    assert_eq!(options(&main, "Global options"), GLOBAL);
    for command in &commands(&main) {
        let help = well(&place, &[command, "--help"]);
        assert_eq!(options(&help, "Global options"), GLOBAL, "{help}");
        let own = options(&help, "Options");
        assert!(own.iter().all(|option| !GLOBAL.contains(option)) && own.contains(&"--help"), "{help}");
    }
    assert!(options(&well(&place, &["list", "--help"]), "Options").contains(&"--published-before"));
}

#[test]
fn paragraphs_are_wrapped_once_whatever_the_width() {
    let place = Sandbox::new();
    let main = well(&place, &["--help"]);
    let mut all = commands(&main);
    all.push(String::new());
    for command in &all {
        let arguments: Vec<_> = [command.as_str(), "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        assert_wrapped_once(&well(&place, &arguments), 100);
        let text = shown(at_a_terminal_of(&place, 80, &arguments.join(" ")));
        let plain = text.replace("\r\n", "\n");
        assert_wrapped_once(&without_colours(&plain), 80);
        // However narrow the terminal, only single words and usage lines are wider.
        let narrow = shown(at_a_terminal_of(&place, 40, &arguments.join(" "))).replace("\r\n", "\n");
        for line in without_colours(&narrow).lines().filter(|line| line.chars().count() > 40) {
            let is_a_word = line.split_whitespace().count() == 1 && line.starts_with(' ');
            assert!(is_a_word || line.starts_with("Usage: "), "{command} at 40: {line}");
        }
    }
}

#[test]
fn the_commands_below_a_command_are_helped_with_too() {
    let place = Sandbox::new();
    for command in ["schedule run", "schedule pause", "schedule resume", "spool flush"] {
        let text = shown(at_a_terminal_of(&place, 80, &format!("{command} --help"))).replace("\r\n", "\n");
        let help = without_colours(&text);
        assert_wrapped_once(&help, 80);
        assert_eq!(options(&help, "Global options"), GLOBAL, "{help}");
        assert!(options(&help, "Options").contains(&"--json"), "{help}");
    }
}

/// Removes the escape sequences that change the look of a text.
fn without_colours(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.split_once('m').map_or("", |(_, rest)| rest))
}

#[test]
fn the_words_of_other_programs_lead_to_the_right_command() {
    let place = Sandbox::new();
    for (word, hint) in [("status", "`peek ID` shows"), ("logs", "`peek ID` shows"), ("jobs", "`list` shows")] {
        let said = refused(&place, 2, &[word]);
        assert!(said.contains(&format!("unrecognized subcommand '{word}'")) && said.contains(hint), "{said}");
    }
    for (word, hint) in [(["schedule", "status"], "`schedule` alone lists"), (["spool", "list"], "`spool` alone lists")]
    {
        let said = refused(&place, 2, &word);
        assert!(said.contains(hint) && !said.contains("peek"), "{said}");
    }
    assert!(!refused(&place, 2, &["schedule", "logs"]).contains("peek"), "it is not about a message");
    well(&place, &["publish", "echo", "--payload", "x"]);
    well(&place, &["cancel", "1"]);
    assert_eq!(well(&place, &["retry", "1"]), "kicked 1\n");
    assert!(!well(&place, &["help"]).contains("retry"));
}
