//! `workers`: lists the workers, and the jobs that they run.

use std::io::Write;

use clap::Args;

use super::show::{self, ago};
use super::table::{Cell, Column, Table, Tone};
use super::{Done, Format};
use crate::instance::Pulpo;
use crate::queue::{RunningJob, WorkerEntry};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  workers          each live worker process, on all hosts, and the jobs it runs
  workers --json | jq -r '.[].running[] | select(.request_type == \"import\").id'
                   the ids of the imports that run

A killed worker is left out within seconds. JOB is the message: `peek` shows it, `cancel` ends it. A job is \
listed as running once it has been handed to a handler.")]
pub(super) struct WorkersArguments {
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(pulpo: &Pulpo, arguments: &WorkersArguments, out: &mut dyn Write) -> Done {
    let workers = pulpo.workers()?;
    if arguments.format.json {
        return show::json(out, &workers);
    }
    if workers.is_empty() {
        writeln!(out, "no workers")?;
        return Ok(());
    }
    write!(out, "{}", processes(&workers))?;
    if workers.iter().any(|worker| !worker.running.is_empty()) {
        write!(out, "\n{}", jobs(&workers))?;
    }
    Ok(())
}

fn processes(workers: &[WorkerEntry]) -> Table {
    let mut table = Table::new([
        Column::new("WORKER"),
        Column::new("HOST"),
        Column::new("PID"),
        Column::new("PROGRAM").spare(2),
        Column::new("PULPO").spare(1),
        Column::new("SINCE"),
        Column::new("RUNS"),
        Column::new("QUEUES").prose(),
    ]);
    for WorkerEntry { id, report, running, .. } in workers {
        let busy = if running.is_empty() { Tone::Plain } else { Tone::Busy };
        table.row([
            id.clone().into(),
            report.host.clone().into(),
            report.pid.to_string().into(),
            [Some(report.program.as_str()), report.program_version.as_deref()]
                .map(Option::unwrap_or_default)
                .join(" ")
                .trim()
                .into(),
            report.pulpo_version.clone().into(),
            ago(report.since).into(),
            Cell::new(format!("{} of {}", running.len(), report.lanes), busy),
            report.queues.join(", ").into(),
        ]);
    }
    table
}

fn jobs(workers: &[WorkerEntry]) -> Table {
    let mut table = Table::new([
        Column::new("WORKER").spare(2),
        Column::new("JOB"),
        Column::new("TYPE"),
        Column::new("QUEUE").spare(1),
        Column::new("ATTEMPT").short("TRY"),
        Column::new("FOR"),
        Column::new("PROGRESS").prose(),
    ]);
    for (worker, job) in workers.iter().flat_map(|worker| worker.running.iter().map(move |job| (worker, job))) {
        table.row([
            worker.id.clone().into(),
            job.id.to_string().into(),
            job.request_type.clone().into(),
            job.queue.clone().into(),
            job.attempt.to_string().into(),
            show::rough((chrono::Utc::now() - job.since).to_std().unwrap_or_default()).into(),
            Cell::new(how_far(job), if job.cancelled { Tone::Bad } else { Tone::Plain }),
        ]);
    }
    table
}

/// Formats the state of a run: `cancelled, 40% row 20,000 of 50,000`.
fn how_far(job: &RunningJob) -> String {
    let progress = job.progress.as_ref().map(show::progress);
    job.cancelled.then(|| "cancelled".to_owned()).into_iter().chain(progress).collect::<Vec<_>>().join(", ")
}
