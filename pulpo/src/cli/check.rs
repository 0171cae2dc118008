//! `check`: whether this program can do its jobs, for CI.

use std::error::Error;
use std::io::Write;

use serde_json::json;

use super::{Done, show};
use crate::app::{App, SetupFailure};
use crate::check::{self, Problem, ProblemKind};
use crate::config::{Config, ConfigWarning, Sources};
use crate::registry::Registry;
use crate::report::chain;
use crate::worker::scheduled;

/// For people, what keeps the handlers from getting their states.
pub(super) fn setup_failed(error: &(dyn Error + 'static)) -> String {
    format!("the `setup` of this program failed: {}", chain(error))
}

pub(super) fn run(
    setup: fn(&mut App) -> Result<(), SetupFailure>,
    sources: &Sources,
    log_problem: Option<String>,
    as_json_text: bool,
    out: &mut dyn Write,
) -> Done {
    let registry = Registry::gather();
    let mut problems = check::handlers(&registry);
    problems.extend(check::unhandled(&registry));
    problems.extend(log_problem.map(|problem| Problem::new(ProblemKind::Configuration, problem)));
    let mut warnings = Vec::from_iter(check::build());
    match Config::load_from(sources) {
        Ok(config) => {
            problems.extend(config.worker.problems(&registry));
            if !config.keeps_schedules() {
                problems.extend(check::schedules(scheduled(&registry, &config.worker)));
            }
            let warning = |warning: &ConfigWarning| Problem::new(ProblemKind::Environment, warning.to_string());
            warnings.extend(config.warnings.iter().map(warning));
        }
        Err(error) => problems.push(Problem::new(ProblemKind::Configuration, chain(&error))),
    }
    let mut app = App::default();
    match setup(&mut app) {
        Ok(()) => problems.extend(check::states(&registry, &app.states)),
        // Which states it would have given is not known.
        Err(error) => problems.push(Problem::new(ProblemKind::Setup, setup_failed(&*error))),
    }
    let handlers = registry.iter().count();
    if as_json_text {
        show::json(
            out,
            &json!({ "ok": problems.is_empty(), "handlers": handlers, "problems": problems, "warnings": warnings }),
        )?;
    } else {
        for warning in &warnings {
            writeln!(out, "warning: {}", show::visible(&warning.to_string()))?;
        }
        for problem in &problems {
            writeln!(out, "{}", show::visible(&problem.to_string()))?;
        }
        if problems.is_empty() {
            writeln!(out, "{handlers} {}, nothing is wrong", if handlers == 1 { "handler" } else { "handlers" })?;
        }
    }
    match problems.len() {
        0 => Ok(()),
        1 => Err("1 problem".into()),
        several => Err(format!("{several} problems").into()),
    }
}
