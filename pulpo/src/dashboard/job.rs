//! `/jobs/ID`: one job, and the actions on it.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::address::encoded;
use super::counts::SharedCounts;
use super::html::{Problem, Visit, age, button, foreign, live, nothing, page as whole, secret, state};
use super::parameters::{Named, Pairs, bad, field};
use super::site::Site;
use super::tasks::Deed;
use super::waiting::{Known, why};
use super::{tasks, workers};
use crate::config::parse_duration;
use crate::instance::Pulpo;
use crate::message::MessageId;
use crate::queue::{
    Attempt, Capabilities, Edit, Edited, MessageState, QueueError, RunningJob, Stats, StoredMessage, WorkerEntry,
};
use crate::report::{json, limited_to, rough, visible};

/// Maximum number of bytes of a body, a result or an error on a page.
const LONGEST_TEXT: usize = 64 * 1024;

/// Maximum number of bytes of the error of each failed run, of which there are several.
const LONGEST_ERROR: usize = 1000;

pub(super) async fn page(State(site): State<Arc<Site>>, visit: Visit, Named(id): Named) -> Response {
    match content(&site, &visit, MessageId::from(id)).await {
        Ok((title, content)) => whole(&visit, &title, "/jobs", &content),
        Err(problem) => problem.page(&visit),
    }
}

/// A job, and related data.
struct Seen {
    message: StoredMessage,
    stats: Stats,
    /// The running workers, if the queue records them.
    workers: Option<Vec<WorkerEntry>>,
    capabilities: Capabilities,
}

impl Seen {
    fn read(pulpo: &Pulpo, counts: &SharedCounts, id: &MessageId) -> Result<Option<Self>, QueueError> {
        let queue = &**pulpo.queue();
        let found = pulpo.resolve(id)?.map(|id| queue.peek(&id)).transpose()?.flatten();
        let Some(message) = found else { return Ok(None) };
        let workers = workers::read(queue)?;
        Ok(Some(Self { message, stats: counts.read(queue)?, workers, capabilities: queue.capabilities() }))
    }

    /// Returns the worker that runs it, if any.
    fn run(&self) -> Option<(&WorkerEntry, &RunningJob)> {
        let workers = self.workers.as_deref()?;
        workers.iter().find_map(|worker| Some((worker, worker.running.iter().find(|job| job.id == self.message.id)?)))
    }
}

async fn content(site: &Site, visit: &Visit, id: MessageId) -> Result<(String, Markup), Problem> {
    let (counts, asked) = (site.counts.clone(), id.clone());
    let Some(seen) = site.ask_pulpo(move |pulpo| Seen::read(pulpo, &counts, &asked)).await? else {
        return Err(gone(&id));
    };
    let (message, now) = (&seen.message, Utc::now());
    let title = format!("Job {}", foreign(message.id.as_str(), 60));
    let content = html! {
        (live("job", &html! {
            (facts(site, &seen, now))
            @if let Some(error) = &message.last_error {
                h2 { "Last error" @if let Some(at) = message.last_error_at { " " span.faint { (age(Some(at), now)) } } }
                pre.card.reason { (foreign(error, LONGEST_TEXT)) }
            }
            @if let Some(result) = &message.result {
                h2 { "Result" }
                @if site.bodies { pre.card { (shown(result.as_bytes())) } } @else { p.card.faint { "Results are hidden here." } }
            }
            (history(&message.history, now))
            @if visit.changes { (actions(visit, message, &seen.capabilities)) }
        }))
        // Outside of the part that is refreshed, so that a half-filled form stays as it is.
        @if visit.changes && seen.capabilities.edits && waits(message.state) { (edit_form(visit, message)) }
        h2 { "Message" }
        @if site.bodies { pre.card { (shown(&message.text)) } } @else { p.card.faint { "Bodies are hidden here." } }
    };
    Ok((title, content))
}

fn gone(id: &MessageId) -> Problem {
    let id = foreign(id.as_str(), 60);
    let text = format!("there is no job {id}: it is done, deleted or expired, or was never in this queue");
    Problem::new(StatusCode::NOT_FOUND, text)
}

/// Returns whether a job in this state is waiting to run.
const fn waits(state: MessageState) -> bool {
    matches!(state, MessageState::Ready | MessageState::Delayed)
}

fn facts(site: &Site, seen: &Seen, now: DateTime<Utc>) -> Markup {
    let Seen { message, stats, workers, .. } = seen;
    let known = Known::new(site, stats, workers.as_deref(), now);
    html! {
        dl.facts.card {
            (fact("State", &html! { (state(message.state)) " " (why(message, &known)) }))
            (fact("Type", &html! { (foreign(&message.request_type, 200)) }))
            (fact("Queue", &html! { (foreign(&message.queue, 200)) }))
            (fact("Priority", &html! { (message.priority.to_string()) }))
            (fact("Published", &age(message.enqueued_at, now)))
            (fact("In this state since", &age(message.since, now)))
            (fact("Failed runs", &html! {
                (message.attempts)
                @if message.abandoned > 0 { ", of which " (message.abandoned) " when their worker died" }
            }))
            @if let Some(kicks) = message.kicks.filter(|kicks| *kicks > 0) { (fact("Retried by hand", &html! { (kicks) "×" })) }
            @if let Some((worker, job)) = seen.run() {
                (fact("Runs on", &html! { (foreign(&worker.report.host, 100)) ", process " (worker.report.pid) ", since " (age(Some(job.since), now)) }))
                @if job.progress.is_some() || job.cancelled { (fact("Progress", &workers::progress(job))) }
            }
        }
    }
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// Renders the failed runs, the newest first.
fn history(runs: &[Attempt], now: DateTime<Utc>) -> Markup {
    if runs.is_empty() {
        return nothing();
    }
    html! {
        h2 { "Failed runs" }
        table.cards.history {
            thead { tr { th.number { "Run" } th { "Started" } th { "Took" } th { "Outcome" } th { "Worker" } th { "Error" } } }
            tbody { @for run in runs.iter().rev() { tr {
                td.number data-label="Run" { (run.number) }
                td data-label="Started" { (age(Some(run.started_at), now)) }
                td data-label="Took" { (rough(run.took)) }
                td data-label="Outcome" { (run.outcome.as_str().replace('_', " ")) }
                td data-label="Worker" { @if let Some(worker) = &run.worker { (foreign(worker, 60)) } @else { span.faint { "–" } } }
                td.reason data-label="Error" { (foreign(&run.error, LONGEST_ERROR)) }
            } } }
        }
    }
}

fn actions(visit: &Visit, message: &StoredMessage, capabilities: &Capabilities) -> Markup {
    let can_cancel = capabilities.cancels && (waits(message.state) || message.state == MessageState::Reserved);
    html! {
        div.actions {
            @if message.state == MessageState::Buried { (button(visit, &path(message, "retry"), &[], "Retry", "")) }
            @if can_cancel { (button(visit, &path(message, "cancel"), &[], "Cancel", "danger")) }
            @if message.state != MessageState::Reserved { (button(visit, &path(message, "delete"), &[], "Delete", "danger")) }
        }
    }
}

fn path(message: &StoredMessage, action: &str) -> String {
    format!("/jobs/{}/{action}", encoded(message.id.as_str()))
}

fn edit_form(visit: &Visit, message: &StoredMessage) -> Markup {
    html! {
        details.card.edit {
            summary { "Edit" }
            form.filters method="post" action=(visit.link(&path(message, "edit"))) {
                (secret(visit))
                label { span { "Priority (0 is the most urgent)" }
                    input type="number" name="priority" min="0" max=(u32::MAX) placeholder=(message.priority.to_string()); }
                label { span { "Due in (0: now)" } input type="text" name="delay" maxlength="100" placeholder="1h 30m"; }
                label { span { "Queue" } input type="text" name="queue" maxlength="300" placeholder=(foreign(&message.queue, 100)); }
                div.actions { button type="submit" { "Save" } }
            }
            p.faint { "Fields that you leave empty stay as they are." }
        }
    }
}

/// Formats a text for reading: JSON on several lines, if it is JSON.
fn shown(text: &[u8]) -> String {
    let pretty = json::read(text).map(|raw| json::pretty(raw.get()));
    let text = pretty.unwrap_or_else(|| String::from_utf8_lossy(text).into_owned());
    limited_to(text, LONGEST_TEXT).lines().map(visible).collect::<Vec<_>>().join("\n")
}

pub(super) async fn retry(State(site): State<Arc<Site>>, visit: Visit, Named(id): Named) -> Response {
    change(&site, &visit, &id, Deed::Retry).await
}

pub(super) async fn cancel(State(site): State<Arc<Site>>, visit: Visit, Named(id): Named) -> Response {
    change(&site, &visit, &id, Deed::Cancel).await
}

pub(super) async fn delete(State(site): State<Arc<Site>>, visit: Visit, Named(id): Named) -> Response {
    change(&site, &visit, &id, Deed::Delete).await
}

async fn change(site: &Site, visit: &Visit, id: &str, deed: Deed) -> Response {
    let id = MessageId::from(id);
    let wanted = id.clone();
    let act = move |pulpo: &Pulpo| -> Result<_, QueueError> {
        let queue = &**pulpo.queue();
        let Some(wanted) = pulpo.resolve(&wanted)? else { return Ok((0, None, None)) };
        let done = deed.act(queue, &deed.named([wanted.clone()]))?;
        if done > 0 {
            tasks::erase(queue, deed)?;
            return Ok((done, None, None));
        }
        let taken_by = if deed == Deed::Retry { queue.key_taken_by(&wanted)? } else { None };
        Ok((0, queue.peek(&wanted)?, taken_by))
    };
    match site.ask_pulpo(act).await {
        Ok((0, None, _)) => gone(&id).page(visit),
        Ok((0, Some(_), Some(other))) => {
            let (id, other) = (foreign(id.as_str(), 60), foreign(other.as_str(), 60));
            let problem = format!("job {id} stays buried: job {other} has its unique key");
            Problem::new(StatusCode::CONFLICT, problem).page(visit)
        }
        Ok((0, Some(message), None)) => {
            let problem = format!("job {} is {}: {}", foreign(id.as_str(), 60), message.state, deed.refusal());
            Problem::new(StatusCode::CONFLICT, problem).page(visit)
        }
        Ok(_) if deed == Deed::Delete => Redirect::to(&visit.link("/jobs")).into_response(),
        Ok(_) => Redirect::to(&visit.job(&id)).into_response(),
        Err(problem) => problem.page(visit),
    }
}

pub(super) async fn edit(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Named(id): Named,
    Form(form): Form<Pairs>,
) -> Response {
    let id = MessageId::from(id);
    match edited(&site, &id, &form).await {
        Ok(()) => Redirect::to(&visit.job(&id)).into_response(),
        Err(problem) => problem.page(&visit),
    }
}

async fn edited(site: &Site, id: &MessageId, form: &Pairs) -> Result<(), Problem> {
    let edit = wanted_edit(form)?;
    let asked = id.clone();
    let outcome = site.ask_pulpo(move |pulpo| match pulpo.resolve(&asked)? {
        None => Ok(Edited::Missing),
        Some(id) => pulpo.queue().edit(&id, &edit),
    });
    match outcome.await? {
        Edited::Changed => Ok(()),
        Edited::Missing => Err(gone(id)),
        Edited::Not(state) => {
            let id = foreign(id.as_str(), 60);
            let problem = format!("job {id} is {state}: only waiting jobs can be edited");
            Err(Problem::new(StatusCode::CONFLICT, problem))
        }
    }
}

fn wanted_edit(form: &Pairs) -> Result<Edit, Problem> {
    let text = |name| Ok::<_, Problem>(field(form, name)?.map(str::trim).filter(|text| !text.is_empty()));
    let mut edit = Edit::default();
    if let Some(priority) = text("priority")? {
        let read = priority.parse::<u32>();
        let read = read.map_err(|_| bad(format!("expected a priority from 0 to {}, got {priority:?}", u32::MAX)))?;
        edit = edit.priority(read);
    }
    if let Some(delay) = text("delay")? {
        let read = parse_duration(delay);
        edit = edit.delay(read.map_err(|_| bad(format!("expected a delay such as 90s, 2h or 0, got {delay:?}")))?);
    }
    if let Some(queue) = text("queue")? {
        edit = edit.queue(queue);
    }
    if edit.is_empty() { Err(bad("expected a priority, a delay or a queue")) } else { Ok(edit) }
}
