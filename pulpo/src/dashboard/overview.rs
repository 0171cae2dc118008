//! `/`: how it goes, in one look.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::Site;
use super::html::{Problem, Visit, age, counted, foreign, live, number, page as whole};
use super::parameters::query;
use crate::queue::{Counts, Filter, MessageState, Stats, StoredMessage};

/// How many failures it shows.
const FAILURES: usize = 5;

pub(super) async fn page(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    match content(&site, &visit).await {
        Ok(content) => whole(&visit, "Overview", "/", &content),
        Err(problem) => problem.page(&visit),
    }
}

async fn content(site: &Site, visit: &Visit) -> Result<Markup, Problem> {
    let asked = site.ask(|queue| {
        let failed = queue.list(&Filter::all().state(MessageState::Buried).limit(FAILURES))?;
        Ok((queue.stats()?, failed, Utc::now()))
    });
    let (stats, failed, now) = asked.await?;
    Ok(live(
        "overview",
        &html! {
            (tiles(visit, &stats, now))
            (by_type(visit, &stats, now))
            (failures(visit, &failed, now))
        },
    ))
}

fn tiles(visit: &Visit, stats: &Stats, now: DateTime<Utc>) -> Markup {
    let sum = |count: fn(&Counts) -> u64| stats.counts.iter().map(count).sum::<u64>();
    let tiles = [
        ("Ready", sum(|counts| counts.ready), "ready"),
        ("Running", sum(|counts| counts.reserved), "reserved"),
        ("Delayed", sum(|counts| counts.delayed), "delayed"),
        ("Buried", sum(|counts| counts.buried), "buried"),
    ];
    let oldest = stats.counts.iter().filter_map(|counts| counts.oldest_ready).min();
    let published: u64 = stats.totals.iter().map(|totals| totals.published).sum();
    let finished: u64 = stats.totals.iter().map(|totals| totals.finished).sum();
    html! {
        div.tiles {
            @for (name, count, state) in tiles {
                a.tile href=(visit.link(&format!("/jobs{}", query([("state", state)])))) {
                    span.label { (name) }
                    span class=(format!("value {state}")) { (number(count)) }
                }
            }
            div.tile {
                span.label { "Oldest waiting" }
                span.value { (age(oldest, now)) }
            }
            div.tile {
                span.label { "Ever published" }
                span.value { (number(published)) }
                span.faint { (number(finished)) " finished" }
            }
        }
    }
}

/// The table of queues and types, each with its bar.
fn by_type(visit: &Visit, stats: &Stats, now: DateTime<Utc>) -> Markup {
    let most = stats.counts.iter().map(Counts::total).max().unwrap_or_default();
    html! {
        h2 { "Jobs by type" }
        @if stats.counts.is_empty() {
            p.card.faint { "The queue is empty." }
        } @else {
            table.cards {
                thead { tr {
                    th { "Type" } th { "Queue" } th.number { "Ready" } th.number { "Running" } th.number { "Delayed" }
                    th.number { "Buried" } th { "Oldest waiting" } th aria-hidden="true" {}
                } }
                tbody { @for counts in &stats.counts { (row(visit, counts, stats.paused_until(&counts.queue), most, now)) } }
            }
        }
    }
}

fn row(visit: &Visit, counts: &Counts, paused: Option<DateTime<Utc>>, most: u64, now: DateTime<Utc>) -> Markup {
    let Counts { queue, request_type, .. } = counts;
    let link = |state: &'static str| {
        let pairs = [("state", state), ("type", request_type), ("queue", queue)];
        visit.link(&format!("/jobs{}", query(pairs.into_iter().filter(|(_, value)| !value.is_empty()))))
    };
    let cell = |name: &'static str, count: u64, state: &'static str| {
        html! {
            td.number data-label=(name) {
                @if count > 0 { a href=(link(state)) { (number(count)) } } @else { span.faint { "0" } }
            }
        }
    };
    html! {
        tr {
            td data-label="Type" { a href=(link("")) { (foreign(if request_type.is_empty() { "all" } else { request_type }, 100)) } }
            td data-label="Queue" {
                (foreign(queue, 100))
                @if paused.is_some() { " " span.state.paused { "paused" } }
            }
            (cell("Ready", counts.ready, "ready"))
            (cell("Running", counts.reserved, "reserved"))
            (cell("Delayed", counts.delayed, "delayed"))
            (cell("Buried", counts.buried, "buried"))
            td data-label="Oldest waiting" { (age(counts.oldest_ready, now)) }
            td.chart aria-hidden="true" { (bar(counts, most)) }
        }
    }
}

/// How much there is, by state, as a share of the most that a type has.
fn bar(counts: &Counts, most: u64) -> Markup {
    const WIDTH: f64 = 120.0;
    let width = |count: u64| WIDTH * count as f64 / most.max(1) as f64;
    let parts = [
        ("ready", counts.ready),
        ("reserved", counts.reserved),
        ("delayed", counts.delayed),
        ("buried", counts.buried),
    ];
    // Each begins where those before it end.
    let begins = |place: usize| parts[..place].iter().map(|(_, count)| width(*count)).sum::<f64>();
    html! {
        svg.bar width="120" height="10" viewBox="0 0 120 10" role="presentation" {
            @for (place, (state, count)) in parts.into_iter().enumerate() {
                rect class=(state) x=(format!("{:.1}", begins(place))) y="0" width=(format!("{:.1}", width(count))) height="10" {}
            }
        }
    }
}

fn failures(visit: &Visit, failed: &[StoredMessage], now: DateTime<Utc>) -> Markup {
    html! {
        h2 { "Buried last" }
        @if failed.is_empty() {
            p.card.faint { "Nothing is buried." }
        } @else {
            ul.failures {
                @for message in failed {
                    li.card {
                        a href=(visit.job(&message.id)) { (foreign(&message.request_type, 100)) " " (message.id.as_str()) }
                        " " span.faint { (age(message.last_error_at.or(message.since), now)) ", after " (counted(message.attempts.into(), "failed run")) }
                        p.reason { (foreign(message.last_error.as_deref().unwrap_or("no reason is known"), 300)) }
                    }
                }
            }
        }
    }
}
