//! `/queues`: counts by queue; pauses and resumes queues.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect, Response};
use chrono::Utc;
use maud::{Markup, html};

use super::address::query;
use super::counts::{largest, left_out};
use super::html::{Problem, Visit, age, button_of, foreign, live, number, page as whole, secret, unreachable};
use super::parameters::{Pairs, bad, field};
use super::site::Site;
use crate::config::parse_duration;
use crate::queue::{Counts, UNTIL_RESUMED};

pub(super) async fn page(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    match content(&site, &visit).await {
        Ok(content) => whole(&visit, "Queues", "/queues", &content),
        Err(problem) => problem.page(&visit),
    }
}

async fn content(site: &Site, visit: &Visit) -> Result<Markup, Problem> {
    let counts = site.counts.clone();
    let (stats, can_pause) = site.ask(move |queue| Ok((counts.read(queue)?, queue.capabilities().pauses))).await?;
    let now = Utc::now();
    let mut by_name: BTreeMap<&str, Counts> = BTreeMap::new();
    for counts in &stats.counts {
        let sum = by_name.entry(&counts.queue).or_insert_with(|| Counts::new(counts.queue.clone(), ""));
        sum.ready += counts.ready;
        sum.delayed += counts.delayed;
        sum.reserved += counts.reserved;
        sum.buried += counts.buried;
        sum.oldest_ready = sum.oldest_ready.into_iter().chain(counts.oldest_ready).min();
    }
    for paused in &stats.paused {
        by_name.entry(&paused.queue).or_insert_with(|| Counts::new(paused.queue.clone(), ""));
    }
    let queues: Vec<_> = by_name.into_values().collect();
    // A queue that is paused can be resumed here.
    let rows = largest(&queues, |counts| stats.paused_until(&counts.queue).is_some());
    let pauses = visit.changes && can_pause;
    let table = html! {
        @if queues.is_empty() {
            p.card.faint { "No jobs in any queue." }
        } @else {
            table.cards {
                thead { tr {
                    th { "Queue" } th.number { "Ready" } th.number { "Running" } th.number { "Delayed" }
                    th.number { "Buried" } th { "Oldest waiting" } th { "Paused" } @if pauses { th { "Action" } }
                } }
                tbody {
                    @for counts in rows {
                        @let paused = stats.paused_until(&counts.queue);
                        tr {
                            td data-label="Queue" {
                                a href=(visit.link(&format!("/jobs{}", query([("queue", counts.queue.as_str())])))) { (foreign(&counts.queue, 100)) }
                            }
                            td.number data-label="Ready" { (number(counts.ready)) }
                            td.number data-label="Running" { (number(counts.reserved)) }
                            td.number data-label="Delayed" { (number(counts.delayed)) }
                            td.number data-label="Buried" { (number(counts.buried)) }
                            td data-label="Oldest waiting" { (age(counts.oldest_ready, now)) }
                            td data-label="Paused" {
                                @match paused {
                                    Some(until) if until - now > chrono::TimeDelta::days(3650) => { span.state.paused { "until resumed" } }
                                    Some(until) => { span.state.paused { "until " (age(Some(until), now)) } }
                                    None => { span.faint { "no" } }
                                }
                            }
                            @if pauses { td data-label="Action" {
                                @if paused.is_some() {
                                    (button_of(visit, "/queues/resume", &[("queue", &counts.queue)], ("Resume", Some(&counts.queue)), ""))
                                } @else {
                                    (pause_form(visit, &counts.queue))
                                }
                            } }
                        }
                    }
                }
            }
            (left_out(queues.len()))
        }
    };
    Ok(live("queues", &html! { (unreachable(&stats)) (table) }))
}

fn pause_form(visit: &Visit, queue: &str) -> Markup {
    html! {
        form.inline method="post" action=(visit.link("/queues/pause")) {
            (secret(visit))
            input type="hidden" name="queue" value=(queue);
            select name="for" aria-label=(format!("How long to pause {}", foreign(queue, 100))) {
                option value="" { "until resumed" }
                option value="5m" { "5 minutes" }
                option value="1h" { "1 hour" }
                option value="1d" { "1 day" }
            }
            button type="submit" aria-label=(format!("Pause {}", foreign(queue, 100))) { "Pause" }
        }
    }
}

pub(super) async fn pause(State(site): State<Arc<Site>>, visit: Visit, Form(form): Form<Pairs>) -> Response {
    change(&site, &visit, &form, |form| match field(form, "for")? {
        None => Ok(UNTIL_RESUMED),
        Some(text) => parse_duration(text).map_err(|problem| bad(format!("for: {problem}"))),
    })
    .await
}

pub(super) async fn resume(State(site): State<Arc<Site>>, visit: Visit, Form(form): Form<Pairs>) -> Response {
    change(&site, &visit, &form, |_| Ok(Duration::ZERO)).await
}

async fn change(
    site: &Site,
    visit: &Visit,
    form: &Pairs,
    time: impl FnOnce(&Pairs) -> Result<Duration, Problem>,
) -> Response {
    let asked = async {
        let queue = field(form, "queue")?.ok_or_else(|| bad("expected the field `queue`"))?.to_owned();
        let time = time(form)?;
        site.ask(move |queues| queues.pause(&queue, time)).await
    };
    match asked.await {
        Ok(()) => Redirect::to(&visit.link("/queues")).into_response(),
        Err(problem) => problem.page(visit),
    }
}
