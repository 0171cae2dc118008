//! `/jobs`: the jobs, one page at a time, and the actions on many of them.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use chrono::Utc;
use maud::{Markup, html};

use super::html::{Problem, Visit, age, counted, foreign, live, number, page as whole, secret, state, unreachable};
use super::parameters::{FILTERS, LONGEST_VALUE, PAGE, Pairs, Wanted, bad, field, within_limits};
use super::site::Site;
use super::tasks::Deed;
use super::waiting::{Known, why};
use super::{tasks, workers};
use crate::message::MessageId;
use crate::queue::{Filter, MessageState, QueueAdapter, QueueError, Stats, StoredMessage, Survey};
use crate::report::visible;

/// Maximum number of selected jobs: those of one page.
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
    // One more than shown, to know whether there is another page.
    let filter = wanted.filter(now)?.limit(PAGE + 1);
    let meant = filter.clone();
    let is_narrow = wanted.narrows();
    let counts = site.counts.clone();
    let asked = site.ask(move |queue| {
        let cancels = queue.capabilities().cancels;
        Ok((Page::find(queue, filter, is_narrow)?, counts.read(queue)?, workers::read(queue)?, cancels))
    });
    let (Page { mut found, unseen, rest }, stats, workers, cancels) = asked.await?;
    let more = found.len() > PAGE;
    found.truncate(PAGE);
    let last = if more { found.last().map(|last| &last.id) } else { rest.as_ref() };
    let next = last.map(|last| visit.link(&format!("/jobs{}", wanted.query(Some(last.as_str())))));
    // Of the actions that this queue has, those that are possible for one of these jobs.
    let deeds = |possible: &dyn Fn(Deed) -> bool| {
        Deed::ALL.into_iter().filter(|deed| (cancels || *deed != Deed::Cancel) && possible(*deed)).collect::<Vec<_>>()
    };
    let for_selected = deeds(&|deed| found.iter().any(|message| deed.reach().contains(&message.state)));
    let for_all = deeds(&|deed| deed.fits(&meant));
    let known = Known::new(site, &stats, workers.as_deref(), now);
    Ok(html! {
        (filters(visit, &wanted, &stats))
        (live("jobs", &html! {
            (unreachable(&stats))
            @if unseen > 0 {
                p.card.problem { "And " (number(unseen)) " that this queue could not list: open one by its id." }
            }
            @if found.is_empty() {
                p.card.faint {
                    @if rest.is_some() { "No match among the " (number(MOST_SEARCHED)) " jobs searched." } @else { "No jobs match." }
                }
                @if let Some(next) = &next { nav.pages aria-label="More jobs" { a href=(next) rel="next" { "Search older jobs" } } }
            } @else {
                form #picked method="post" action=(visit.link("/jobs/act")) {
                    (secret(visit))
                    (hidden(&wanted))
                    (table(visit, &found, &known))
                    @if visit.changes { div.actions { @for deed in &for_selected { (submit(*deed, "selected")) } } }
                }
                nav.pages aria-label="More jobs" {
                    @if wanted.get("after").is_some() { a href=(visit.link(&format!("/jobs{}", wanted.query(None)))) { "Newest" } }
                    @if let Some(next) = &next { a href=(next) rel="next" { "Older" } }
                }
            }
        }))
        @if visit.changes && (!found.is_empty() || unseen > 0) && !for_all.is_empty() { (all_that_match(visit, &wanted, &for_all)) }
    })
}

/// Maximum number of messages that a page searches, so that it is quick even if matches are rare.
const MOST_SEARCHED: u64 = 50_000;

/// The jobs found for a page.
struct Page {
    found: Vec<StoredMessage>,
    /// How many more may match that the queue cannot list.
    unseen: u64,
    /// Where to continue the search, if not all messages were searched.
    rest: Option<MessageId>,
}

impl Page {
    fn find(queue: &dyn QueueAdapter, filter: Filter, is_narrow: bool) -> Result<Self, QueueError> {
        // A queue that does not count by type learns the type of each message from its text.
        let texts = !queue.capabilities().stats_by_type;
        let end = if is_narrow { Self::end(queue, filter.after.as_ref())? } else { None };
        let Some(end) = end else {
            let Survey { messages: found, unseen, .. } = queue.survey(&filter, texts)?;
            return Ok(Self { found, unseen, rest: None });
        };
        let limit = filter.limit;
        let Survey { messages: found, unseen, .. } = queue.survey(&filter.down_to(end.clone()), texts)?;
        let is_full = limit.is_some_and(|limit| found.len() >= limit);
        let is_more = !is_full && !queue.survey(&Filter::all().after(end.clone()).limit(1), false)?.messages.is_empty();
        Ok(Self { found, unseen, rest: is_more.then_some(end) })
    }

    /// Returns the last message to search, if ids are numbers.
    fn end(queue: &dyn QueueAdapter, after: Option<&MessageId>) -> Result<Option<MessageId>, QueueError> {
        let begin = match after {
            Some(after) => Some(after.clone()),
            // Other queues have to look at all their messages for that.
            None if !queue.capabilities().complete_lists => None,
            None => queue.survey(&Filter::all().limit(1), false)?.messages.pop().map(|newest| newest.id),
        };
        let begin = begin.and_then(|id| id.as_str().parse::<u64>().ok());
        Ok(begin.filter(|begin| *begin > MOST_SEARCHED).map(|begin| MessageId::from(begin - MOST_SEARCHED)))
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
            datalist #types { @for of in suggested(&types) { option value=(of) {} } }
            datalist #queues { @for queue in suggested(&queues) { option value=(queue) {} } }
        }
    }
}

/// Returns the names that a browser may suggest: those that it shows as they are, and that a filter can have.
fn suggested<'a>(names: &'a [&'a String]) -> impl Iterator<Item = &'a str> {
    let names = names.iter().map(|name| name.as_str());
    names.filter(|name| !name.is_empty() && name.len() <= LONGEST_VALUE && visible(name) == *name).take(200)
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
                th { "ID" } th { "State" } th { "Type" } th { "Queue" } th.number { "Failed runs" } th { "Since" } th { "Reason" }
            } }
            tbody {
                @for message in found {
                    tr {
                        @if visit.changes {
                            td.select { input type="checkbox" name="id" value=(message.id.as_str()) aria-label=(format!("Select job {}", foreign(message.id.as_str(), 60))); }
                        }
                        td data-label="ID" { a href=(visit.job(&message.id)) { (foreign(message.id.as_str(), 60)) } }
                        td data-label="State" { (state(message.state)) }
                        td data-label="Type" { (foreign(&message.request_type, 100)) }
                        td data-label="Queue" { (foreign(&message.queue, 100)) }
                        td.number data-label="Failed runs" { (message.attempts) }
                        td data-label="Since" { (age(message.since.or(message.enqueued_at), now)) }
                        td.reason data-label="Reason" { (why(message, known)) }
                    }
                }
            }
        }
    }
}

/// Renders the button of an action on these jobs.
fn submit(deed: Deed, which: &str) -> Markup {
    let class = (deed != Deed::Retry).then_some("danger");
    html! { button class=[class] type="submit" name="action" value=(deed.name()) { (deed.label()) " " (which) } }
}

/// Renders the buttons for all matching jobs, beyond this page.
fn all_that_match(visit: &Visit, wanted: &Wanted, deeds: &[Deed]) -> Markup {
    html! {
        section.card.all {
            h2 { "All jobs that match" }
            p.faint { "Runs in the background and shows its progress." }
            form.inline method="post" action=(visit.link("/jobs/act")) {
                (secret(visit))
                input type="hidden" name="all" value="yes";
                (hidden(wanted))
                @for deed in deeds { (submit(*deed, if *deed == Deed::Retry { "all buried" } else { "all" })) }
                label.check { input type="checkbox" name="sure" value="yes" required; " I am sure" }
            }
        }
    }
}

/// Returns the filters as hidden fields of a form.
fn hidden(wanted: &Wanted) -> Markup {
    html! { @for (name, value) in wanted.fields() { input type="hidden" name=(name) value=(value); } }
}

/// Acts on the selected jobs, or starts a task for all that match.
pub(super) async fn act(State(site): State<Arc<Site>>, visit: Visit, Form(form): Form<Pairs>) -> Response {
    let asked = async {
        let deed: Deed = field(&form, "action")?.unwrap_or_default().parse().map_err(bad)?;
        let wanted = Wanted::read(&form)?;
        if field(&form, "all")? == Some("yes") {
            if field(&form, "sure")? != Some("yes") {
                return Err(bad("tick \"I am sure\" to act on all jobs that match"));
            }
            let filter = Filter { after: None, ..wanted.filter(Utc::now())? };
            if deed == Deed::Cancel && !site.pulpo.queue().capabilities().cancels {
                return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, QueueError::NO_CANCELS.to_string()));
            }
            let task = site.tasks.start(site.pulpo.queue().clone(), deed, filter)?;
            return Ok(format!("/tasks/{task}"));
        }
        let ids = form.iter().filter(|(name, _)| name == "id").map(|(name, id)| within_limits(name, id));
        let ids = ids.map(|id| id.map(MessageId::from)).collect::<Result<Vec<_>, _>>()?;
        if ids.is_empty() || ids.len() > MOST_NAMED {
            return Err(bad(format!("expected from 1 to {MOST_NAMED} selected jobs, got {}", ids.len())));
        }
        let named = ids.len() as u64;
        let act = move |queue: &dyn QueueAdapter| {
            let done = deed.act(queue, &deed.named(ids))?;
            if done > 0 {
                tasks::erase(queue, deed)?
            }
            Ok(done)
        };
        let done = site.ask(act).await?;
        if done < named {
            let problem =
                format!("{} {}, left {}: {}", deed.done(), counted(done, "job"), number(named - done), deed.refusal());
            return Err(Problem::new(StatusCode::CONFLICT, problem));
        }
        Ok(format!("/jobs{}", wanted.query(None)))
    };
    match asked.await {
        Ok(path) => Redirect::to(&visit.link(&path)).into_response(),
        Err(problem) => problem.page(&visit),
    }
}
