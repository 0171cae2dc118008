//! `check`: checks that this program can do its jobs, for CI.

use std::error::Error;
use std::io::Write;

use std::path::PathBuf;

use chrono::Utc;
use clap::Args;
use serde_json::json;

use super::{Done, Format, Open, show};
use crate::check::{self, Problem, ProblemKind};
use crate::config::{Config, ConfigWarning, Sources};
use crate::registry::Registry;
use crate::report::chain;
use crate::setup::{App, SetupFailure};
use crate::worker::{self, scheduled};

mod deploys;
mod waiting;

#[cfg(test)]
mod tests;

pub(super) use deploys::cannot_trace;

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Record what the bodies of the jobs read in this file
    #[arg(long, value_name = "FILE", conflicts_with = "against")]
    update: Option<PathBuf>,
    /// Check that this program still reads messages of the version that wrote this file with `--update`
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Accept that this job or alias was removed (repeatable)
    #[arg(long, value_name = "NAME", requires = "against")]
    allow_removed: Vec<String>,
    /// Decode every waiting message with this program
    #[arg(long)]
    queue: bool,
    #[command(flatten)]
    format: Format,
}

/// Returns the error text of a failed `setup`.
pub(super) fn setup_failed(error: &(dyn Error + 'static)) -> String {
    format!("the `setup` of this program failed: {}", chain(error))
}

pub(super) fn run(
    setup: fn(&mut App) -> Result<(), SetupFailure>,
    sources: &Sources,
    log_problem: Option<String>,
    arguments: &CheckArguments,
    open: Open<'_>,
    out: &mut dyn Write,
) -> Done {
    let registry = Registry::gather();
    let mut problems = check::handlers(&registry);
    problems.extend(check::unhandled(&registry));
    problems.extend(log_problem.map(|problem| Problem::new(ProblemKind::Configuration, problem)));
    let mut warnings = Vec::from_iter(check::build());
    let mut outboxes = Vec::new();
    match Config::load_from(sources) {
        Ok(config) => {
            problems.extend(worker::problems(&registry, &config.worker));
            if !config.keeps_schedules() {
                problems.extend(check::schedules(scheduled(&registry, &config.worker)));
            }
            if let Some(able) = config.backend.capabilities() {
                problems.extend(worker::unsupported(&registry, &config.worker, able));
            }
            let at_servers = config.backend.problem_at_servers();
            problems.extend(at_servers.map(|problem| Problem::new(ProblemKind::Configuration, problem)));
            let warning = |warning: &ConfigWarning| Problem::new(ProblemKind::Environment, warning.to_string());
            warnings.extend(config.warnings.iter().map(warning));
            outboxes = config.worker.outbox;
        }
        Err(error) => problems.push(Problem::new(ProblemKind::Configuration, chain(&error))),
    }
    let mut app = App::default();
    match setup(&mut app) {
        Ok(()) => {
            problems.extend(check::states(&registry, &app.states));
            // The `setup` may have made the table.
            let (missing, away) = check::outboxes(&outboxes, Utc::now());
            problems.extend(missing);
            warnings.extend(away);
        }
        // The states that it would have provided are unknown.
        Err(error) => problems.push(Problem::new(ProblemKind::Setup, setup_failed(&*error))),
    }
    let handlers = registry.iter().count();
    let updated = match &arguments.update {
        Some(path) => Some((path, deploys::update(path, &registry)?)),
        None => None,
    };
    let compared = match &arguments.against {
        Some(path) => Some(deploys::against(path, &registry, &arguments.allow_removed, open)?),
        None => None,
    };
    // Findings are reported even if the queue does not answer, or goes away.
    let (waiting, unanswered) = arguments.queue.then(|| waiting::decode(&registry, open)).unzip();
    let unanswered = unanswered.flatten();
    let faults = problems.len()
        + compared.as_ref().map_or(0, |compared| compared.changes.len())
        + waiting.as_ref().map_or(0, waiting::Waiting::troubles);
    if arguments.format.json {
        let mut said = json!({ "ok": faults == 0, "handlers": handlers, "problems": problems });
        let mut warnings = serde_json::to_value(&warnings)?;
        if let (Some(all), Some(compared)) = (warnings.as_array_mut(), &compared) {
            all.extend(compared.warnings().iter().cloned());
        }
        said["warnings"] = warnings;
        if let Some(compared) = &compared {
            said["changes"] = compared.changes_as_json();
        }
        if let Some(waiting) = &waiting {
            said["queue"] = waiting.as_json();
        }
        show::json(out, &said)?;
    } else {
        for warning in &warnings {
            writeln!(out, "warning: {}", show::visible(&warning.to_string()))?;
        }
        for problem in &problems {
            writeln!(out, "{}", show::visible(&problem.to_string()))?;
        }
        if let Some(compared) = &compared {
            compared.print(out)?;
        }
        if let Some(waiting) = waiting.as_ref().filter(|waiting| unanswered.is_none() || waiting.seen() > 0) {
            waiting.print(out)?;
        }
        if let Some((path, jobs)) = updated {
            writeln!(out, "wrote {} with {jobs} {}", path.display(), if jobs == 1 { "job" } else { "jobs" })?;
        }
        if faults == 0 {
            writeln!(out, "{handlers} {}, nothing is wrong", if handlers == 1 { "handler" } else { "handlers" })?;
        }
    }
    match (faults, unanswered) {
        (0, _) => Ok(()),
        (1, Some(error)) => Err(error),
        (1, None) => Err("1 problem".into()),
        (several, None) => Err(format!("{several} problems").into()),
        (several, Some(error)) => {
            Err(format!("{several} problems, one of them with `--queue`: {}", chain(&*error)).into())
        }
    }
}
