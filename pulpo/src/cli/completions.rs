//! `completions`: prints the script with which a shell completes this command line.

use std::io::Write;
use std::path::Path;

use clap::builder::PossibleValuesParser;
use clap_complete::Shell;

use super::Done;
use crate::registry::Registry;

/// Prints the script for the shell, with the request types and queues of this program as completions.
pub(super) fn run(mut command: clap::Command, shell: Shell, out: &mut dyn Write) -> Done {
    let registry = Registry::gather();
    let types: Vec<_> = registry
        .iter()
        .flat_map(|handler| [handler.request_type()].into_iter().chain(handler.aliases().iter().copied()))
        .collect();
    let queues: Vec<_> = registry.iter().filter_map(|handler| handler.policy().queue).collect();
    for (argument, values) in [("request_type", types), ("queue", queues)] {
        // A list without values would refuse all input.
        if values.is_empty() {
            continue;
        }
        let commands: Vec<_> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        for name in commands {
            command = command.mut_subcommand(name, |command| {
                if command.get_arguments().all(|known| known.get_id() != argument) {
                    return command;
                }
                command.mut_arg(argument, |known| known.value_parser(PossibleValuesParser::new(&values)))
            });
        }
    }
    let called = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&called)
        .file_name()
        .map_or_else(|| command.get_name().to_owned(), |name| name.to_string_lossy().into_owned());
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    out.write_all(&script)?;
    Ok(())
}
