//! `/jobs`: the messages, a page at a time, and one of them.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use chrono::Utc;
use maud::{Markup, html};

use super::html::{Problem, Visit, age, button, counted, foreign, live, nothing, number, page as whole, secret, state};
use super::parameters::{FILTERS, PAGE, Pairs, Wanted, bad, field};
use super::tasks::Deed;
use super::waiting::{Known, reason};
use super::{Site, workers};
use crate::message::MessageId;
use crate::queue::{Filter, MessageState, QueueAdapter, QueueError, RunningJob, Stats, StoredMessage, WorkerEntry};

/// Bytes of a body that a page shows.
const LONGEST_BODY: usize = 64 * 1024;

/// How many jobs a change by hand may name: a page of them.
const MOST_NAMED: usize = PAGE;

pub(super) async fn list(State(site): State<Arc<Site>>, visit: Visit, Query(pairs): Query<Pairs>) -> Response {
    match list_content(&site, &visit, &pairs).await {
        Ok(content) => whole(&visit, "Jobs", "/jobs", &content),
        Err(problem) => problem.page(&visit),
    }
}

async fn list_content(site: &Site, visit: &Visit, pairs: &Pairs) -> Result<Markup, Problem> {
    let wanted = Wanted::read(pairs)?;
    let now = Utc::now();
    // One more than is shown tells whether there is another page.
    let filter = wanted.filter(now)?.limit(PAGE + 1);
    let is_narrow = wanted.narrows();
    let (Page { mut found, rest }, stats) =
        site.ask(move |queue| Ok((Page::find(queue, filter, is_narrow)?, queue.stats()?))).await?;
    let workers = site.ask(workers::read).await?;
    let more = found.len() > PAGE;
    found.truncate(PAGE);
    let last = if more { found.last().map(|last| &last.id) } else { rest.as_ref() };
    let next = last.map(|last| visit.link(&format!("/jobs{}", wanted.query(Some(last.as_str())))));
    Ok(html! {
        (filters(visit, &wanted, &stats))
        (live("jobs", &html! {
            @if found.is_empty() {
                p.card.faint {
                    @if rest.is_some() { "No job matches, of the " (number(LOOKED_AT)) " that were looked at." } @else { "No job matches." }
                }
                @if let Some(next) = &next { nav.pages aria-label="More jobs" { a href=(next) rel="next" { "Look at older ones" } } }
            } @else {
                form #picked method="post" action=(visit.link("/jobs/act")) {
                    (secret(visit))
                    (table(visit, &found, &Known { stats: &stats, registry: &site.registry, workers: workers.as_deref(), now }))
                    @if visit.changes { div.actions {
                        button type="submit" name="action" value="retry" { "Retry the selected" }
                        button.danger type="submit" name="action" value="delete" { "Delete the selected" }
                    } }
                }
                nav.pages aria-label="More jobs" {
                    @if wanted.get("after").is_some() { a href=(visit.link(&format!("/jobs{}", wanted.query(None)))) { "Newest" } }
                    @if let Some(next) = &next { a href=(next) rel="next" { "Older" } }
                }
            }
        }))
        @if visit.changes && !found.is_empty() { (all_that_match(visit, &wanted)) }
    })
}

/// Through how many messages a page looks for those that match: however rare
/// they are, it is there soon.
const LOOKED_AT: u64 = 50_000;

/// What was found for a page.
struct Page {
    found: Vec<StoredMessage>,
    /// Where to look on, if not all were looked at.
    rest: Option<MessageId>,
}

impl Page {
    fn find(queue: &dyn QueueAdapter, filter: Filter, is_narrow: bool) -> Result<Self, QueueError> {
        let end = if is_narrow { Self::end(queue, filter.after.as_ref())? } else { None };
        let Some(end) = end else { return Ok(Self { found: queue.list(&filter)?, rest: None }) };
        let limit = filter.limit;
        let found = queue.list(&filter.down_to(end.clone()))?;
        let is_full = limit.is_some_and(|limit| found.len() >= limit);
        let is_more = !is_full && !queue.list(&Filter::all().after(end.clone()).limit(1))?.is_empty();
        Ok(Self { found, rest: is_more.then_some(end) })
    }

    /// The last message to look at, where ids are numbers.
    fn end(queue: &dyn QueueAdapter, after: Option<&MessageId>) -> Result<Option<MessageId>, QueueError> {
        let begin = match after {
            Some(after) => Some(after.clone()),
            None => queue.list(&Filter::all().limit(1))?.pop().map(|newest| newest.id),
        };
        let begin = begin.and_then(|id| id.as_str().parse::<u64>().ok());
        Ok(begin.filter(|begin| *begin > LOOKED_AT).map(|begin| MessageId::from(begin - LOOKED_AT)))
    }
}

fn filters(visit: &Visit, wanted: &Wanted, stats: &Stats) -> Markup {
    let mut types: Vec<_> =
        stats.counts.iter().map(|counts| &counts.request_type).filter(|of| !of.is_empty()).collect();
    types.dedup();
    types.sort();
    types.dedup();
    let mut queues: Vec<_> = stats.counts.iter().map(|counts| &counts.queue).collect();
    queues.sort();
    queues.dedup();
    html! {
        form.filters.card method="get" action=(visit.link("/jobs")) role="search" aria-label="Filter jobs" {
            @for (name, label) in FILTERS {
                @let value = wanted.get(name).unwrap_or_default();
                label {
                    span { (label) }
                    @if name == "state" {
                        select name="state" {
                            option value="" { "any" }
                            @for state in MessageState::ALL {
                                option value=(state.to_string()) selected[value == state.as_str()] { (state.to_string()) }
                            }
                        }
                    } @else {
                        input type="text" name=(name) value=(value) maxlength="300" list=[list_of(name)]
                            placeholder=[matches!(name, "older" | "newer").then_some("1h 30m")];
                    }
                }
            }
            div.actions {
                button type="submit" { "Filter" }
                @if wanted.narrows() { a href=(visit.link("/jobs")) { "Clear" } }
            }
            datalist #types { @for of in types.iter().take(200) { option value=(of) {} } }
            datalist #queues { @for queue in queues.iter().take(200) { option value=(queue) {} } }
        }
    }
}

fn list_of(name: &str) -> Option<&'static str> {
    match name {
        "type" => Some("types"),
        "queue" => Some("queues"),
        _ => None,
    }
}

fn table(visit: &Visit, found: &[StoredMessage], known: &Known<'_>) -> Markup {
    let now = known.now;
    html! {
        table.cards {
            thead { tr {
                @if visit.changes { th { span.hidden { "Select" } } }
                th { "ID" } th { "State" } th { "Type" } th { "Queue" } th.number { "Failed runs" } th { "Since" } th { "Why" }
            } }
            tbody {
                @for message in found {
                    tr {
                        @if visit.changes {
                            td.select { input type="checkbox" name="id" value=(message.id.as_str()) aria-label=(format!("Select job {}", message.id.as_str())); }
                        }
                        td data-label="ID" { a href=(visit.job(&message.id)) { (foreign(message.id.as_str(), 60)) } }
                        td data-label="State" { (state(message.state)) }
                        td data-label="Type" { (foreign(&message.request_type, 100)) }
                        td data-label="Queue" { (foreign(&message.queue, 100)) }
                        td.number data-label="Failed runs" { (message.attempts) }
                        td data-label="Since" { (age(message.since.or(message.enqueued_at), now)) }
                        td.reason data-label="Why" { (why(message, known)) }
                    }
                }
            }
        }
    }
}

/// Why a job is where it is, in a few words, and its last error.
fn why(message: &StoredMessage, known: &Known<'_>) -> Markup {
    let error = message.last_error.as_deref().map(|error| foreign(error, 160));
    html! {
        (reason(message, known))
        @if let Some(error) = error {
            @if message.state != MessageState::Buried { " · " }
            span.faint { (error) }
        }
    }
}

/// Acting on every job that the filters pick, not only on this page.
fn all_that_match(visit: &Visit, wanted: &Wanted) -> Markup {
    html! {
        section.card.all {
            h2 { "All jobs that match" }
            p.faint { "Works through every page in the background, and shows how far it is." }
            form.inline method="post" action=(visit.link("/jobs/act")) {
                (secret(visit))
                input type="hidden" name="all" value="yes";
                @for (name, value) in wanted.fields() { input type="hidden" name=(name) value=(value); }
                button type="submit" name="action" value="retry" { "Retry all buried" }
                button.danger type="submit" name="action" value="delete" { "Delete all" }
                label.check { input type="checkbox" name="sure" value="yes" required; " I am sure" }
            }
        }
    }
}

/// What the form on the list asks for: named jobs, or all that match.
pub(super) async fn act(State(site): State<Arc<Site>>, visit: Visit, Form(form): Form<Pairs>) -> Response {
    let asked = async {
        let deed: Deed = field(&form, "action")?.unwrap_or_default().parse().map_err(bad)?;
        if field(&form, "all")? == Some("yes") {
            if field(&form, "sure")? != Some("yes") {
                return Err(bad("tick \"I am sure\" to act on all jobs that match"));
            }
            let filter = Wanted::read(&form)?.filter(Utc::now())?;
            let filter = Filter { after: None, ..filter };
            let task = site.tasks.start(site.pulpo.queue().clone(), deed, filter)?;
            return Ok(format!("/tasks/{task}"));
        }
        let ids: Vec<_> =
            form.iter().filter(|(name, _)| name == "id").map(|(_, id)| MessageId::from(id.as_str())).collect();
        if ids.is_empty() || ids.len() > MOST_NAMED {
            return Err(bad(format!("expected from 1 to {MOST_NAMED} selected jobs, got {}", ids.len())));
        }
        let wanted = ids.len() as u64;
        let done = site.ask(move |queue| deed.act(queue, &Filter::all().ids(ids))).await?;
        if done < wanted {
            let problem = format!(
                "{} {}; {} could not be: {}",
                deed.done(),
                counted(done, "job"),
                number(wanted - done),
                deed.refusal()
            );
            return Err(Problem::new(StatusCode::CONFLICT, problem));
        }
        Ok("/jobs".to_owned())
    };
    match asked.await {
        Ok(path) => Redirect::to(&visit.link(&path)).into_response(),
        Err(problem) => problem.page(&visit),
    }
}

pub(super) async fn one(State(site): State<Arc<Site>>, visit: Visit, Path(id): Path<String>) -> Response {
    match one_content(&site, &visit, MessageId::from(id.as_str())).await {
        Ok((title, content)) => whole(&visit, &title, "/jobs", &content),
        Err(problem) => problem.page(&visit),
    }
}

async fn one_content(site: &Site, visit: &Visit, id: MessageId) -> Result<(String, Markup), Problem> {
    let asked = id.clone();
    let seen = site.ask(move |queue| {
        let cancels = queue.capabilities().cancels;
        Ok((queue.peek(&asked)?, queue.stats()?, workers::read(queue)?, cancels))
    });
    let (message, stats, workers, cancels) = seen.await?;
    let Some(message) = message else { return Err(gone(&id)) };
    let now = Utc::now();
    let title = format!("Job {}", foreign(id.as_str(), 60));
    let content = html! {
        (live("job", &html! {
            dl.facts.card {
                (fact("State", &html! { (state(message.state)) " " (why(&message, &Known { stats: &stats, registry: &site.registry, workers: workers.as_deref(), now })) }))
                (fact("Type", &html! { (foreign(&message.request_type, 200)) }))
                (fact("Queue", &html! { (foreign(&message.queue, 200)) }))
                (fact("Priority", &html! { (message.priority.to_string()) }))
                (fact("Published", &age(message.enqueued_at, now)))
                (fact("In this state", &age(message.since, now)))
                (fact("Failed runs", &html! {
                    (message.attempts)
                    @if message.abandoned > 0 { ", of which " (message.abandoned) " ended with their worker" }
                }))
                @if let Some(until) = message.until { (fact("Until", &age(Some(until), now))) }
                @if let Some((worker, job)) = runs(workers.as_deref(), &id) {
                    (fact("Runs on", &html! { (foreign(&worker.report.host, 100)) ", process " (worker.report.pid) ", since " (age(Some(job.since), now)) }))
                    @if job.progress.is_some() || job.cancelled { (fact("Progress", &workers::progress(job))) }
                }
            }
            @if let Some(error) = &message.last_error {
                h2 { "Last error" @if let Some(at) = message.last_error_at { " " span.faint { (age(Some(at), now)) } } }
                pre.card.reason { (foreign(error, LONGEST_BODY)) }
            }
            (changes(visit, &message, cancels))
        }))
        h2 { "Message" }
        @if site.bodies {
            pre.card { (shown(&message.text)) }
        } @else {
            p.card.faint { "Bodies are hidden here." }
        }
    };
    Ok((title, content))
}

fn gone(id: &MessageId) -> Problem {
    let id = foreign(id.as_str(), 60);
    Problem::new(StatusCode::NOT_FOUND, format!("there is no job {id}: it is done, or was deleted, or never was"))
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// Who runs it, if somebody does.
fn runs<'a>(workers: Option<&'a [WorkerEntry]>, id: &MessageId) -> Option<(&'a WorkerEntry, &'a RunningJob)> {
    workers?.iter().find_map(|worker| Some((worker, worker.running.iter().find(|job| job.id == *id)?)))
}

fn changes(visit: &Visit, message: &StoredMessage, cancels: bool) -> Markup {
    if !visit.changes {
        return nothing();
    }
    let path = |deed: &str| format!("/jobs/{}/{deed}", super::parameters::encoded(message.id.as_str()));
    html! {
        div.actions {
            @if message.state == MessageState::Buried { (button(visit, &path("retry"), &[], "Retry", "")) }
            @else if cancels { (button(visit, &path("cancel"), &[], "Cancel", "danger")) }
            @if message.state != MessageState::Reserved { (button(visit, &path("delete"), &[], "Delete", "danger")) }
        }
    }
}

/// The message for a person: JSON on several lines, if it is JSON.
fn shown(text: &[u8]) -> String {
    let pretty = crate::report::json::read(text).map(|raw| crate::report::json::pretty(raw.get()));
    let text = pretty.unwrap_or_else(|| String::from_utf8_lossy(text).into_owned());
    let lines = crate::report::limited_to(text, LONGEST_BODY);
    lines.lines().map(crate::report::visible).collect::<Vec<_>>().join("\n")
}

pub(super) async fn retry(State(site): State<Arc<Site>>, visit: Visit, Path(id): Path<String>) -> Response {
    change(&site, &visit, &id, Deed::Retry).await
}

pub(super) async fn cancel(State(site): State<Arc<Site>>, visit: Visit, Path(id): Path<String>) -> Response {
    change(&site, &visit, &id, Deed::Cancel).await
}

pub(super) async fn delete(State(site): State<Arc<Site>>, visit: Visit, Path(id): Path<String>) -> Response {
    change(&site, &visit, &id, Deed::Delete).await
}

async fn change(site: &Site, visit: &Visit, id: &str, deed: Deed) -> Response {
    let id = MessageId::from(id);
    let wanted = id.clone();
    let act = move |queue: &dyn QueueAdapter| -> Result<_, QueueError> {
        let done = deed.act(queue, &Filter::all().id(wanted.clone()))?;
        Ok((done, if done == 0 { queue.peek(&wanted)? } else { None }))
    };
    match site.ask(act).await {
        Ok((0, None)) => gone(&id).page(visit),
        Ok((0, Some(message))) => {
            let problem = format!("job {} is {}: {}", foreign(id.as_str(), 60), message.state, deed.refusal());
            Problem::new(StatusCode::CONFLICT, problem).page(visit)
        }
        Ok(_) if deed == Deed::Delete => Redirect::to(&visit.link("/jobs")).into_response(),
        Ok(_) => Redirect::to(&visit.job(&id)).into_response(),
        Err(problem) => problem.page(visit),
    }
}
