//! Lays out the examples in the help of a command, for narrow terminals.

use clap::Command;

/// Width below which an example and its description do not fit side by side.
const BESIDE: usize = 70;

/// Lays out the examples of a command for a terminal of this width.
pub(super) fn fitted(command: Command, columns: usize) -> Command {
    if columns >= BESIDE {
        return command;
    }
    let examples = command.get_after_help().map(|text| below_each_other(&text.to_string()));
    let command = match examples {
        Some(examples) => command.after_help(examples),
        None => command,
    };
    let names: Vec<_> = command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, |one| fitted(one, columns)))
}

/// Puts the description of an example below it.
fn below_each_other(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let said = line.trim_start();
        let indent = line.len() - said.len();
        match said.split_once("  ") {
            // This line continues the previous description.
            None if indent > 6 && lines.last().is_some_and(|last| last.starts_with("      ")) => {
                if let Some(last) = lines.last_mut() {
                    last.push(' ');
                    last.push_str(said);
                }
            }
            None if indent > 2 => lines.push(format!("      {said}")),
            Some((example, does)) if indent > 0 => {
                lines.push(format!("  {example}"));
                lines.push(format!("      {}", does.trim_start()));
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_explanation_of_an_example_stands_below_it() {
        let wide = "Examples:\n  check          exits 1 and says what is wrong,\n                 with file and line\n  \
                    publish send_email --body '{}'\n                 publishes one job\n\nIt changes nothing.";
        let narrow = "Examples:\n  check\n      exits 1 and says what is wrong, with file and line\n  \
                      publish send_email --body '{}'\n      publishes one job\n\nIt changes nothing.";
        assert_eq!(below_each_other(wide), narrow);
    }
}
