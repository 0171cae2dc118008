//! `/schedules`: the scheduled jobs, and when they run.

use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use chrono::Utc;
use maud::{Markup, html};

use super::address::{encoded, query};
use super::html::{Problem, Visit, age, button_of, foreign, live, page as whole};
use super::parameters::{Pairs, bad, field};
use super::site::Site;
use crate::instance::Pulpo;
use crate::instance::scheduled::{ScheduleError, ScheduleRow, ScheduleState};
use crate::queue::QueueError;
use crate::report::{self, chain};

/// Maximum number of entries on a page.
const MOST: usize = 500;

pub(super) async fn page(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    match content(&site, &visit).await {
        Ok(content) => whole(&visit, "Schedules", "/schedules", &content),
        Err(problem) => problem.page(&visit),
    }
}

async fn content(site: &Site, visit: &Visit) -> Result<Markup, Problem> {
    let rows = site.ask_pulpo(|pulpo| match pulpo.schedule_rows() {
        // Not an error: the page shows this as a note.
        Err(QueueError::Unsupported(_)) => Ok(None),
        rows => rows.map(Some),
    });
    let Some(rows) = rows.await? else {
        return Ok(
            html! { p.card.faint { "This queue does not store schedules. Set a folder for them: schedule_store = \"file:./pulpo-schedules\"" } },
        );
    };
    let content = html! {
        @if rows.is_empty() {
            p.card.faint { "No schedules: no handler of this program has `cron` or `every`." }
        } @else {
            (table(visit, &rows))
            @if rows.len() > MOST { p.faint { "Showing the first " (MOST) " of " (rows.len()) "." } }
        }
    };
    Ok(live("schedules", &content))
}

fn table(visit: &Visit, rows: &[ScheduleRow]) -> Markup {
    let now = Utc::now();
    html! {
        table.cards {
            thead { tr {
                th { "Name" } th { "When" } th { "Next" } th { "Last" } th { "State" } @if visit.changes { th { "Action" } }
            } }
            tbody { @for (place, row) in rows.iter().take(MOST).enumerate() {
                @let ScheduleRow { name, entry, next, last, state, overdue, message } = row;
                // The buttons act on all entries of a name.
                @let is_first = place == 0 || rows[place - 1].name != *name;
                tr {
                    td data-label="Name" {
                        a href=(visit.link(&format!("/jobs{}", query([("type", name.as_str())])))) { (foreign(name, 100)) }
                    }
                    td data-label="When" { code { (foreign(entry, 200)) } }
                    td data-label="Next" { @if next.is_some() { (age(*next, now)) } @else { span.faint { "never" } } }
                    td data-label="Last" {
                        @if last.is_some() { (age(*last, now)) } @else { span.faint { "never" } }
                        @if let Some(message) = message {
                            " " a.small href=(visit.link(&format!("/jobs/{}", encoded(message)))) { "job " (foreign(message, 60)) }
                        }
                    }
                    td data-label="State" {
                        span class=(format!("state {}", class(*state))) { (state.as_str()) }
                        " " span.faint { (meaning(*state)) }
                        @if let Some(overdue) = overdue {
                            p.problem { "overdue for " (report::rough(Duration::try_from_secs_f64(*overdue).unwrap_or_default())) }
                        }
                    }
                    @if visit.changes { td data-label="Action" {
                        @if is_first {
                            div.buttons {
                                (button_of(visit, "/schedules/run", &[("name", name)], ("Run now", Some(name)), "quiet"))
                                @if *state == ScheduleState::Paused {
                                    (button_of(visit, "/schedules/resume", &[("name", name)], ("Resume", Some(name)), ""))
                                } @else {
                                    (button_of(visit, "/schedules/pause", &[("name", name)], ("Pause", Some(name)), ""))
                                }
                            }
                        }
                    } }
                }
            } }
        }
    }
}

const fn class(state: ScheduleState) -> &'static str {
    match state {
        ScheduleState::Waiting => "ready",
        ScheduleState::Running => "reserved",
        ScheduleState::Paused => "paused",
        ScheduleState::Unattended => "buried",
        ScheduleState::Off | ScheduleState::New => "faint",
    }
}

const fn meaning(state: ScheduleState) -> &'static str {
    match state {
        ScheduleState::Waiting | ScheduleState::Paused => "",
        ScheduleState::Running => "its last job has not finished",
        ScheduleState::Off => "switched off by the configuration of this program",
        ScheduleState::Unattended => "no running worker has it",
        ScheduleState::New => "no worker has had it yet",
    }
}

pub(super) async fn run(State(site): State<Arc<Site>>, visit: Visit, Form(form): Form<Pairs>) -> Response {
    change(&site, &visit, &form, |pulpo, name| pulpo.run_schedule(name, Utc::now()).map(drop)).await
}

pub(super) async fn pause(State(site): State<Arc<Site>>, visit: Visit, Form(form): Form<Pairs>) -> Response {
    change(&site, &visit, &form, |pulpo, name| pulpo.pause_schedule(name, true).map(drop)).await
}

pub(super) async fn resume(State(site): State<Arc<Site>>, visit: Visit, Form(form): Form<Pairs>) -> Response {
    change(&site, &visit, &form, |pulpo, name| pulpo.pause_schedule(name, false).map(drop)).await
}

async fn change(
    site: &Site,
    visit: &Visit,
    form: &Pairs,
    change: fn(&Pulpo, &str) -> Result<(), ScheduleError>,
) -> Response {
    let asked = async {
        let name = field(form, "name")?.ok_or_else(|| bad("expected the field `name`"))?.to_owned();
        let changed = site.ask_pulpo(move |pulpo| match change(pulpo, &name) {
            Err(ScheduleError::Queue(error)) => Err(error),
            changed => Ok(changed),
        });
        changed.await?.map_err(|error| match error {
            ScheduleError::Unknown(problem) => Problem::new(StatusCode::NOT_FOUND, problem),
            error => Problem::new(StatusCode::CONFLICT, chain(&error)),
        })
    };
    match asked.await {
        Ok(()) => Redirect::to(&visit.link("/schedules")).into_response(),
        Err(problem) => problem.page(visit),
    }
}
