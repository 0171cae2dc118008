//! `check`: whether this program can do its jobs, for CI.

use std::error::Error;
use std::io::Write;

use serde_json::json;

use super::{Done, show};
use crate::app::{App, SetupFailure};
use crate::check::{self, Problem, ProblemKind};
use crate::config::{Config, Sources};
use crate::registry::Registry;
use crate::report::chain;

/// For people, what keeps the handlers from getting their states.
pub(super) fn setup_failed(error: &(dyn Error + 'static)) -> String {
    format!("the `setup` of this program failed: {}", chain(error))
}

pub(super) fn run(
    setup: fn(&mut App) -> Result<(), SetupFailure>,
    sources: &Sources,
    as_json_text: bool,
    out: &mut dyn Write,
) -> Done {
    let registry = Registry::gather();
    let mut problems = check::handlers(&registry);
    problems.extend(check::unhandled(&registry));
    match Config::load_from(sources) {
        Ok(config) => problems.extend(config.worker.problems(&registry)),
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
        show::json(out, &json!({ "ok": problems.is_empty(), "handlers": handlers, "problems": problems }))?;
    } else {
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
