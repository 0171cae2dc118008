//! `work`: takes messages and runs their handlers.

use std::io::{IsTerminal as _, stderr};

use clap::Args;
use tracing::Level;

use super::check::setup_failed;
use super::logs::{self, Logs};
use super::{Done, Program, names};
use crate::banner;
use crate::config::{Config, ConsoleOptions, Sources};
use crate::instance::Pulpo;
use crate::registry::Registry;
use crate::setup::App;

#[derive(Debug, Default, Args)]
#[command(after_help = "\
Examples:
  work                           run all handlers of this program until Ctrl-C
  work --concurrency 8           8 jobs at the same time
  work --queues mail,default     only these queues
  work --set shutdown_after_number_of_empty_iterations=1
                                 until nothing is ready")]
pub(super) struct WorkArguments {
    /// Number of lanes: jobs at the same time
    #[arg(long, value_name = "N")]
    concurrency: Option<usize>,
    /// Queues to work, separated by commas [default: those of the handlers]
    #[arg(long, value_name = "NAMES")]
    queues: Option<String>,
    /// Address for the dashboard, /metrics, /healthz and /readyz: needs the feature `http` [default: none]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<std::net::SocketAddr>,
    /// Let visitors of the dashboard act on jobs, queues and schedules
    #[arg(long)]
    allow_changes: bool,
}

pub(super) fn run(
    arguments: &WorkArguments,
    program: &Program,
    log_level: Option<Level>,
    mut sources: Sources,
) -> Done {
    // Checked before the queue is touched, because a worker without handlers is a mistake.
    let registry = Registry::collect()?;
    let mut set = |key: &str, value: Option<String>| {
        sources.overrides.extend(value.map(|value| (key.to_owned(), value)));
    };
    set("concurrency", arguments.concurrency.map(|lanes| lanes.to_string()));
    set("queues", arguments.queues.clone());
    set("listen", arguments.listen.map(|address| address.to_string()));
    let mut config = Config::load_from(&sources)?;
    config.worker.dashboard.allow_changes |= arguments.allow_changes;
    let logs = logs::start(log_level, Level::INFO, &config.console);
    super::panics::log(config.worker.log_reasons);
    outlive_file_size_limits();
    show_banner(&config.console, program, &logs)?;
    let pulpo = Pulpo::new(config)?;
    names::warn_of_queues_to_work(&registry, &pulpo);
    let mut app = App::default();
    (program.setup)(&mut app).map_err(|error| setup_failed(&*error))?;
    let worker = pulpo.worker_with(registry).app(app).program(program.name, program.version);
    #[cfg(feature = "http")]
    let worker = match pulpo.options().listen.and_then(|address| dashboard(address, &pulpo)) {
        Some(dashboard) => worker.pages(dashboard.router()),
        None => worker,
    };
    worker.run()?;
    Ok(())
}

/// Returns the dashboard for the address at which the worker listens, if it is allowed there.
#[cfg(feature = "http")]
fn dashboard(address: std::net::SocketAddr, pulpo: &Pulpo) -> Option<crate::dashboard::Dashboard> {
    let dashboard = crate::dashboard::Dashboard::at(address, pulpo);
    if dashboard.is_none() {
        tracing::info!(%address, "the dashboard is not served beyond loopback without `dashboard_token`");
    }
    dashboard
}

/// Makes a write beyond a file size limit (`ulimit -f`) fail instead of ending the process: the log has grown too
/// large, or the queue, which reports it.
fn outlive_file_size_limits() {
    #[cfg(unix)]
    {
        let reached = std::sync::Arc::default();
        // If this fails, such a limit ends the worker, like any other program.
        let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, reached);
    }
}

fn show_banner(console: &ConsoleOptions, program: &Program, logs: &Logs) -> Done {
    if console.enable_banner.unwrap_or_else(|| stderr().is_terminal()) {
        let name = console.banner_name.as_deref().unwrap_or(program.name);
        let drawn = banner::drawn(name, &console.banner_font)?;
        logs.show(&format!("{}\n{} {}\n\n", drawn.trim_end(), program.name, program.version));
    }
    Ok(())
}
