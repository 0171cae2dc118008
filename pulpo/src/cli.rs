//! The command line that `pulpo::main!()` gives to every worker.
//!
//! Each command is a function from its arguments to text on standard output;
//! logs and errors go to standard error. Exit 0: done, 1: failed, 2: wrong
//! usage.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::app::{App, SetupFailure};
use crate::config::{Config, ConsoleOptions, LogFormat, Sources};
use crate::instance::Pulpo;
use crate::message::MessageId;
use crate::queue::State;
use crate::registry::Registry;
use crate::report::chain;

mod change;
mod check;
mod logs;
mod look;
mod publish;
mod show;
mod work;

/// What the binary says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What it is for; may be empty.
    pub about: &'static str,
    /// Gives the states.
    pub setup: fn(&mut App) -> Result<(), SetupFailure>,
}

#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  work --concurrency 8                          work with 8 lanes until stopped
  publish send_email --body '{\"to\": \"a@b.c\"}'   publish one job
  list --state buried                           what failed for good, and why
  kick 42                                       try it again

The queue is file:./pulpo-data, or what pulpo.toml or PULPO_QUEUE says.")]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct Common {
    /// The configuration file, TOML or JSON [default: pulpo.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets a key of the configuration, before file and environment
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// What to log: error, warn, info, debug or trace [default: info for work, else warn; RUST_LOG goes before]
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<tracing::Level>,
    /// How the lines of the log look: auto, pretty, plain or json [default: auto, which is pretty on a terminal]
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
    Work(WorkArguments),
    /// Publish a job, its body checked against the type of its handler
    Publish(PublishArguments),
    /// List the messages in the queue
    List(ListArguments),
    /// Show one message: state, header, body, last error
    Peek {
        /// Its id, as `publish` and `list` show it
        id: MessageId,
        #[command(flatten)]
        format: Format,
    },
    /// Delete a message that nobody works on
    Delete {
        /// Its id, as `publish` and `list` show it
        id: MessageId,
    },
    /// Make buried messages ready again, with all attempts before them
    Kick(KickArguments),
    /// Count the messages by queue, request type and state
    Stats {
        #[command(flatten)]
        format: Format,
    },
    /// List the handlers of this program
    Handlers {
        #[command(flatten)]
        format: Format,
    },
    /// Check that this program can do its jobs: handlers, states, policies
    Check {
        #[command(flatten)]
        format: Format,
    },
}

#[derive(Debug, Args)]
struct Format {
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, Args)]
struct WorkArguments {
    /// How many lanes: jobs at the same time
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,
    /// The queues to work, with commas [default: those of the handlers]
    #[arg(long, value_name = "NAMES")]
    queues: Option<String>,
    /// Where to answer /metrics, /healthz and /readyz: needs the feature `metrics` [default: nowhere]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<std::net::SocketAddr>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  publish send_email --body '{\"to\": \"a@b.c\", \"subject\": \"hello\"}'
  publish send_email --body @email.json --delay 10m --priority 0
  echo '{\"to\": \"a@b.c\"}' | my-worker publish send_email --body -
  publish echo --payload 'hello world' --count 100")]
struct PublishArguments {
    /// The request type, as `handlers` shows it
    request_type: String,
    /// The body: JSON, - for standard input, or @FILE
    #[arg(long, value_name = "JSON|-|@FILE")]
    body: Option<String>,
    /// A text as the whole body: {"payload": TEXT}
    #[arg(long, value_name = "TEXT", conflicts_with = "body")]
    payload: Option<String>,
    /// 0 is the most urgent, 4294967295 the least [default: the handler's]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i64>,
    /// Not before: a duration such as 10m, or a time such as 2026-11-23T09:00:00Z
    #[arg(long, value_name = "D", value_parser = publish::when)]
    delay: Option<crate::message::When>,
    /// Not after: a time, or a duration from now
    #[arg(long, value_name = "T", value_parser = publish::when)]
    expiration: Option<crate::message::When>,
    /// So many of them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
struct ListArguments {
    /// Only those that are ready, delayed, reserved or buried
    #[arg(long, value_name = "S")]
    state: Option<State>,
    /// Only those in this queue
    #[arg(long, value_name = "Q")]
    queue: Option<String>,
    /// Only those of this request type
    #[arg(long = "type", value_name = "T")]
    request_type: Option<String>,
    /// So many at most; 0: all
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct KickArguments {
    /// The message with this id
    id: Option<MessageId>,
    /// All that are buried
    #[arg(long)]
    all: bool,
    /// All that are buried of this request type
    #[arg(long = "type", value_name = "T")]
    request_type: Option<String>,
}

impl std::str::FromStr for MessageId {
    type Err = std::convert::Infallible;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        Ok(id.into())
    }
}

/// A command's end: well, or with an error for a person.
type Done = Result<(), Box<dyn Error>>;

/// The whole program: reads the arguments of the process and does what they
/// say.
pub fn main(program: Program) -> ExitCode {
    let mut command = Cli::command().name(program.name).version(program.version);
    if !program.about.is_empty() {
        command = command.about(program.about);
    }
    let cli = match command.try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    // Not locked: handlers print too.
    match run(cli, program, &mut io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads our output, `head` for instance, has seen enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {}", show::visible(&chain(&*error)));
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn run(cli: Cli, program: Program, out: &mut dyn Write) -> Done {
    let command = cli.command.unwrap_or(Command::Work(WorkArguments::default()));
    let mut sources = Sources::default();
    sources.file.clone_from(&cli.common.config);
    sources.overrides.clone_from(&cli.common.settings);
    sources.overrides.extend(cli.common.log_format.map(|format| ("log_format".to_owned(), format.to_string())));
    // A worker's logs look as its configuration says.
    let _logs = (!matches!(command, Command::Work(_))).then(|| {
        let console =
            ConsoleOptions { log_format: cli.common.log_format.unwrap_or_default(), ..ConsoleOptions::default() };
        logs::start(cli.common.log_level, tracing::Level::WARN, &console)
    });
    let open = || -> Result<Pulpo, Box<dyn Error>> { Ok(Pulpo::new(Config::load_from(&sources)?)?) };
    match command {
        Command::Work(arguments) => work::run(&arguments, &program, cli.common.log_level, sources),
        Command::Publish(arguments) => publish::run(&arguments, open, out),
        Command::List(arguments) => look::list(&open()?, &arguments, out),
        Command::Peek { id, format } => look::peek(&open()?, &id, format.json, out),
        Command::Stats { format } => look::stats(&open()?, format.json, out),
        Command::Handlers { format } => look::handlers(&Registry::collect()?, format.json, out),
        Command::Check { format } => check::run(program.setup, format.json, out),
        Command::Kick(arguments) => change::kick(&open()?, &arguments, out),
        Command::Delete { id } => change::delete(&open()?, &id, out),
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
