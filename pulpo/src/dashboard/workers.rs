//! `/workers`: the running workers and their jobs.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::address::query;
use super::html::{Problem, Visit, age, foreign, live, number, page as whole};
use super::site::Site;
use crate::queue::{Progress, QueueAdapter, QueueError, RunningJob, WorkerEntry};

/// Maximum number of workers, and of jobs of each, on a page.
const MOST: usize = 200;

/// Returns the running workers; `None` if the queue does not record them.
pub(super) fn read(queue: &dyn QueueAdapter) -> Result<Option<Vec<WorkerEntry>>, QueueError> {
    queue.workers().map(|workers| workers.read_workers()).transpose()
}

pub(super) async fn page(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    match content(&site, &visit).await {
        Ok(content) => whole(&visit, "Workers", "/workers", &content),
        Err(problem) => problem.page(&visit),
    }
}

async fn content(site: &Site, visit: &Visit) -> Result<Markup, Problem> {
    let workers = site.ask(read).await?;
    let now = Utc::now();
    let content = match workers {
        None => html! { p.card.faint { "This queue does not record its workers." } },
        Some(workers) if workers.is_empty() => html! { p.card.faint { "No worker is running." } },
        Some(workers) => html! {
            @for worker in workers.iter().take(MOST) { (one(visit, worker, now)) }
            @if workers.len() > MOST { p.faint { "Showing the first " (MOST) " of " (workers.len()) "." } }
        },
    };
    Ok(live("workers", &content))
}

fn one(visit: &Visit, worker: &WorkerEntry, now: DateTime<Utc>) -> Markup {
    let WorkerEntry { id, report, running, .. } = worker;
    let version = report.program_version.as_deref().unwrap_or_default();
    html! {
        section.card.worker {
            h2 { (foreign(&report.program, 100)) " " (foreign(version, 40)) span.faint { " on " (foreign(&report.host, 100)) ", process " (report.pid) } }
            p.faint {
                (foreign(id, 60)) " · pulpo " (foreign(&report.pulpo_version, 40)) " · started " (age(Some(report.since), now))
                " · " (number(running.len() as u64)) " of " (number(report.lanes as u64)) " lanes busy"
            }
            p {
                "Queues: "
                @for (place, queue) in report.queues.iter().take(MOST).enumerate() {
                    @if place > 0 { ", " }
                    a href=(visit.link(&format!("/jobs{}", query([("queue", queue.as_str())])))) { (foreign(queue, 100)) }
                }
            }
            @if !running.is_empty() { (jobs(visit, running, now)) }
        }
    }
}

fn jobs(visit: &Visit, running: &[RunningJob], now: DateTime<Utc>) -> Markup {
    html! {
        table.cards {
            thead { tr { th { "Job" } th { "Type" } th { "Queue" } th.number { "Attempt" } th { "Started" } th { "Progress" } } }
            tbody { @for job in running.iter().take(MOST) { tr {
                td data-label="Job" { a href=(visit.job(&job.id)) { (foreign(job.id.as_str(), 60)) } }
                td data-label="Type" { (foreign(&job.request_type, 100)) }
                td data-label="Queue" { (foreign(&job.queue, 100)) }
                td.number data-label="Attempt" { (job.attempt) }
                td data-label="Started" { (age(Some(job.since), now)) }
                td data-label="Progress" { (progress(job)) }
            } } }
        }
    }
}

/// Renders the progress of a running job.
pub(super) fn progress(job: &RunningJob) -> Markup {
    html! {
        @if job.cancelled { span.state.buried { "cancelled" } " " }
        @if let Some(Progress { fraction, text, .. }) = &job.progress {
            progress max="1" value=(format!("{fraction:.3}")) aria-label="Progress" {}
            " " (foreign(text, 200))
        }
    }
}
