//! The command line that `pulpo::main!()` gives to every worker.
//!
//! Each command is a function that turns its arguments into text on standard output; logs and errors go to standard
//! error. Exit codes: 0 done, 1 failed, 2 wrong usage.

use std::cell::RefCell;
use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use self::command::{Done, Format, Open, WrongUsage, is_broken_pipe};
use crate::config::{Config, ConsoleOptions, LogFormat, Sources};
use crate::instance::Pulpo;
use crate::queue::backend::Purpose;
use crate::registry::Registry;
use crate::report::chain;

mod cancel;
mod change;
mod check;
mod command;
mod completions;
mod configuration;
mod dashboard;
mod deed;
mod edit;
mod filter_args;
mod handlers;
mod help;
mod input;
mod interrupt;
mod list;
mod log_writer;
mod logs;
mod names;
mod outbox;
mod panics;
mod peek;
mod publish;
mod publish_messages;
mod queues;
mod relay;
mod schedule;
mod selection;
mod show;
mod spool;
mod stats;
mod table;
mod terminal;
mod text;
mod transfer;
mod watch;
mod work;
mod workers;

pub use self::command::Program;

#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  work --concurrency 8   work with 8 lanes until stopped
  publish send_email --body '{\"to\": \"a@b.c\"}'
                         publish one job
  list --state buried    show what failed for good, and why
  kick 42                requeue it

The queue is file:./pulpo-data unless pulpo.toml or PULPO_QUEUE names another.")]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Common {
    /// Configuration file, TOML or JSON [default: pulpo.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set a configuration key, overriding file and environment
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// Log level: error, warn, info, debug or trace [default: info for work, else warn; RUST_LOG overrides it]
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<tracing::Level>,
    /// Log format: auto, pretty, plain or json [default: auto, which is pretty on a terminal]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, such as sleep_duration=2s")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take messages and run their handlers, until stopped (the default)
    Work(work::WorkArguments),
    /// Publish jobs, after checking each body against the type of its handler
    Publish(publish::PublishArguments),
    /// List the messages in the queue, newest first
    List(list::ListArguments),
    /// Show messages: state, history, header, body, last error
    Peek(peek::PeekArguments),
    /// Delete messages that no worker is running
    Delete(change::DeleteArguments),
    /// Cancel messages: bury those that wait, end those that run
    Cancel(cancel::CancelArguments),
    /// Requeue buried messages with a fresh set of attempts
    #[command(aliases = ["retry", "requeue"])]
    Kick(change::KickArguments),
    /// Delete all messages of a queue
    Purge(change::PurgeArguments),
    /// Change priority, delay or queue of messages that wait
    Edit(edit::EditArguments),
    /// Pause a queue, for a time or until it is resumed
    Pause(queues::PauseArguments),
    /// Resume a paused queue
    Resume(queues::ResumeArguments),
    /// List schedules; run, pause or resume them
    Schedule(schedule::ScheduleArguments),
    /// List the live workers, and the jobs that each is running
    Workers(workers::WorkersArguments),
    /// Count the messages by queue, request type and state
    Stats(stats::StatsArguments),
    /// Print what happens to jobs, until stopped
    Watch(watch::WatchArguments),
    /// Move jobs from the outboxes of your databases to the queue, until stopped
    Relay(relay::RelayArguments),
    /// Show what waits in the outboxes, or the SQL that creates one
    Outbox(outbox::OutboxArguments),
    /// Serve a web page that shows the queue and acts on it
    Dashboard(dashboard::DashboardArguments),
    /// Move everything from this queue to another one
    Move(transfer::MoveArguments),
    /// Copy the embedded queue into a file while it is in use
    Backup(queues::BackupArguments),
    /// Migrate the tables of a queue in a database to this program's version
    Migrate(queues::MigrateArguments),
    /// List the handlers of this program
    #[command(after_help = "\
Examples:
  handlers   types, queues, policies, and where they are defined
  handlers --json | jq '.[].request_type'
             only the request types
  handlers --schema
             the JSON that their bodies read, path by path")]
    Handlers {
        /// Show what the bodies of its jobs read, as `check --update` writes it
        #[arg(long)]
        schema: bool,
        #[command(flatten)]
        format: Format,
    },
    /// Check that this program can run its jobs: handlers, states, policies
    #[command(after_help = "\
Examples:
  check          for CI: exits 1 and says what is wrong, with file and line
  check --json   for programs
  check --update jobs.snapshot
                 records what the bodies of the jobs read, to be committed
                 with the source
  check --against jobs.snapshot
                 exits 1 if this program could not read messages of the
                 version that wrote it, and says which and why
  check --queue  decodes every waiting message with this program, and changes
                 nothing

It runs the `setup` of the program, and checks whether each outbox has its table. Without --queue it reads no messages.")]
    Check(check::CheckArguments),
    /// Show the effective configuration, and where each value comes from
    #[command(after_help = "\
Examples:
  config                       every key's value and where it came from
  config --set concurrency=8   the effect of a flag
  config --json | jq -r '.[] | select(.from != \"default\") | .key'

Passwords are shown as ***.")]
    Config {
        #[command(flatten)]
        format: Format,
    },
    /// Show what waits in the spool while no server is available, and send it
    Spool(spool::SpoolArguments),
    /// Print completions for a shell: bash, zsh, fish and others
    #[command(after_help = "\
Examples:
  my-worker completions bash > my-worker.bash
      for ~/.local/share/bash-completion/completions
  my-worker completions zsh > ~/.zfunc/_my-worker
      with ~/.zfunc in $fpath
  my-worker completions fish > my-worker.fish
      for ~/.config/fish/completions

They include the request types and queues of this program; regenerate them when these change.")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

impl Program {
    fn definition(&self) -> clap::Command {
        // Use only the width of the terminal: clap ignores one without a height.
        let columns = terminal::width().unwrap_or(100);
        let command = help::fitted(Cli::command().term_width(columns), columns);
        let command = command.name(self.name).version(self.version);
        if self.about.is_empty() { command } else { command.about(self.about) }
    }
}

/// Runs the whole program: reads the arguments of the process and carries them out.
pub fn main(program: Program) -> ExitCode {
    let cli = match program.definition().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            let error = with_hint(error);
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    // Not locked, because handlers print too.
    match run(cli, program, &mut io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of our output, such as `head`, has seen enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            logs::last_word(&format!("{}\n", show::remark("error", &chain(&*error))));
            ExitCode::from(if error.is::<WrongUsage>() { 2 } else { 1 })
        }
    }
}

/// Adds to the error of an unknown command which one does what the word means elsewhere.
fn with_hint(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else { return error };
    // With a subcommand, the usage names it.
    let usage = error.get(ContextKind::Usage).map(ToString::to_string).unwrap_or_default();
    let of = ["schedule", "spool"].into_iter().find(|name| usage.contains(&format!(" {name} ")));
    let lists = matches!(word.as_str(), "list" | "ls" | "show" | "status" | "info");
    let hint = match word.as_str() {
        _ if of == Some("schedule") && lists => "`schedule` alone lists the schedules",
        _ if of == Some("spool") && lists => "`spool` alone lists what is in it",
        _ if of.is_some() => return error,
        "status" | "history" | "logs" | "log" | "show" | "info" | "inspect" => {
            "`peek ID` shows a message with its state, its history and its last error"
        }
        "failed" | "dead" => "`list --state buried` shows what failed for good, and why",
        "jobs" | "ls" | "messages" => "`list` shows the messages in the queue",
        "enqueue" | "push" | "add" => "`publish TYPE` publishes a job",
        "run" | "start" | "worker" => "`work` takes messages and runs their handlers",
        _ => return error,
    };
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
    error
}

fn run(cli: Cli, program: Program, out: &mut dyn Write) -> Done {
    let command = cli.command.unwrap_or(Command::Work(work::WorkArguments::default()));
    let mut sources = Sources::default();
    sources.file.clone_from(&cli.common.config);
    sources.overrides.clone_from(&cli.common.settings);
    sources.overrides.extend(cli.common.log_format.map(|format| ("log_format".to_owned(), format.to_string())));
    // A worker formats its logs as its configuration says.
    let _logs = (!matches!(command, Command::Work(_))).then(|| {
        let console =
            ConsoleOptions { log_format: cli.common.log_format.unwrap_or_default(), ..ConsoleOptions::default() };
        logs::start(cli.common.log_level, tracing::Level::WARN, &console)
    });
    let log_problem = logs::problem(cli.common.log_level);
    if let (Some(problem), false) = (&log_problem, matches!(command, Command::Check(_))) {
        return Err(problem.as_str().into());
    }
    let opened: RefCell<Option<Pulpo>> = RefCell::new(None);
    let open = |purpose| -> Result<Pulpo, Box<dyn Error>> {
        let pulpo = Pulpo::for_command(Config::load_from(&sources)?, purpose)?;
        *opened.borrow_mut() = Some(pulpo.clone());
        Ok(pulpo)
    };
    let to_publish = || open(Purpose::Publication);
    // Commands that inspect a queue or change its content do not create it.
    let existing = || open(Purpose::Administration);
    let done = match command {
        Command::Work(arguments) => work::run(&arguments, &program, cli.common.log_level, sources),
        Command::Publish(arguments) => publish::run(&arguments, &to_publish, out),
        Command::List(arguments) => list::run(&existing, &arguments, out),
        Command::Peek(arguments) => peek::run(&existing()?, &arguments, out),
        Command::Delete(arguments) => change::delete(&existing, &arguments, out),
        Command::Cancel(arguments) => cancel::run(&existing, &arguments, out),
        Command::Kick(arguments) => change::kick(&existing, &arguments, out),
        Command::Purge(arguments) => change::purge(&existing, &arguments, out),
        Command::Edit(arguments) => edit::run(&existing, &arguments, out),
        Command::Pause(arguments) => queues::pause(&existing()?, &arguments, out),
        Command::Resume(arguments) => queues::resume(&existing()?, &arguments, out),
        Command::Schedule(arguments) => schedule::run(&existing, &to_publish, &arguments, out),
        Command::Workers(arguments) => workers::run(&existing()?, &arguments, out),
        Command::Stats(arguments) => stats::run(&existing()?, &arguments, out),
        Command::Watch(arguments) => watch::run(&existing()?, &arguments, out),
        Command::Move(arguments) => transfer::run(&sources, &arguments, out),
        Command::Relay(arguments) => relay::run(Config::load_from(&sources)?, &arguments, out),
        Command::Outbox(arguments) => outbox::run(&|| Ok(Config::load_from(&sources)?), &arguments, out),
        Command::Dashboard(arguments) => dashboard::run(&existing()?, &arguments, out),
        Command::Backup(arguments) => queues::backup(&existing()?, &arguments, out),
        Command::Migrate(arguments) => queues::migrate(&Config::load_from(&sources)?, &arguments, out),
        Command::Handlers { schema, format } => handlers::run(&Registry::collect()?, schema, format.json, out),
        Command::Check(arguments) => check::run(program.setup, &sources, log_problem, &arguments, &existing, out),
        Command::Config { format } => configuration::run(&sources, format.json, out),
        Command::Spool(arguments) => spool::run(&existing()?, &arguments, out),
        Command::Completions { shell } => completions::run(program.definition(), shell, out),
    };
    // The answers of the other servers are already on standard output.
    let away = opened.take().map(|pulpo| pulpo.queue().take_unreachable()).unwrap_or_default();
    match done {
        Ok(()) => show::unreachable(&away),
        Err(error) => {
            let said = error.to_string();
            away.iter()
                .filter(|it| !said.contains(&it.server))
                .for_each(|it| show::warn(&format!("{} did not take part: {}", it.server, it.error)));
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }
}
