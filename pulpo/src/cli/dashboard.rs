//! `dashboard`: serves a page that shows the queue and acts on it.

use std::io::Write;
use std::net::SocketAddr;

use clap::Args;

use super::Done;
use crate::instance::Pulpo;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  dashboard                    view the queue at http://127.0.0.1:8011/
  dashboard --allow-changes    also act on jobs, queues and schedules
  dashboard --listen 0.0.0.0:8011
                               for other machines: needs `dashboard_token`

It runs until Ctrl-C and runs no jobs. A worker serves the same with work --listen 127.0.0.1:9100. With \
PULPO_DASHBOARD_TOKEN, visitors need a token. PULPO_DASHBOARD_HOSTS=jobs.example.com adds a name of the server, and \
PULPO_DASHBOARD_BODIES=false hides the bodies of messages and the results of jobs.")]
pub(super) struct DashboardArguments {
    /// Address to serve it at
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8011")]
    listen: SocketAddr,
    /// Let visitors act on jobs, queues and schedules
    #[arg(long)]
    allow_changes: bool,
}

#[cfg(not(feature = "http"))]
pub(super) fn run(_: &Pulpo, arguments: &DashboardArguments, _: &mut dyn Write) -> Done {
    let DashboardArguments { listen: _, allow_changes: _ } = arguments;
    Err("the dashboard needs pulpo's feature `http`, which this program was built without".into())
}

#[cfg(feature = "http")]
pub(super) fn run(pulpo: &Pulpo, arguments: &DashboardArguments, out: &mut dyn Write) -> Done {
    use std::sync::mpsc;

    use crate::dashboard::Dashboard;
    use crate::http::{Limits, Server};
    use crate::process::signals;

    let address = arguments.listen;
    let dashboard = Dashboard::at(address, pulpo).ok_or_else(|| {
        format!(
            "anyone who can reach {address} could read the queue: set `dashboard_token` \
             (PULPO_DASHBOARD_TOKEN), or listen on 127.0.0.1"
        )
    })?;
    let server = Server::start(
        address,
        dashboard.allow_changes(arguments.allow_changes).router(),
        Limits::default(),
        std::future::pending(),
    );
    let server = server.map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let (stop, stopped) = mpsc::channel();
    let _signals = signals::watch(move |name| {
        let _ = stop.send(name);
    })?;
    writeln!(out, "the dashboard is at http://{}/", server.address())?;
    out.flush()?;
    // The sender lives for as long as the signals are watched.
    let _ = stopped.recv();
    Ok(())
}
