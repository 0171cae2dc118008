//! `/tasks/ID`: the progress of a change to many jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::html;

use super::html::{Problem, Visit, button, counted, live, no_such_page, number, page as whole};
use super::parameters::Named;
use super::site::Site;
use super::tasks::Deed;
use crate::report::visible;
use crate::sync::lock;

pub(super) async fn page(State(site): State<Arc<Site>>, visit: Visit, Named(id): Named) -> Response {
    let Ok(id) = id.parse::<u64>() else { return no_such_page(visit).await };
    let Some(task) = site.tasks.get(id) else { return no_such_task(id).page(&visit) };
    // Before the counts, which are complete once it is there.
    let end = lock(&task.end).clone();
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let [found, unseen, looked, touched] = [&task.found, &task.unseen, &task.looked, &task.touched].map(read);
    let away = lock(&task.away).clone();
    let stopped = task.stop.load(Ordering::Relaxed);
    let title = match task.deed {
        Deed::Retry => "Retrying jobs",
        Deed::Delete => "Deleting jobs",
        Deed::Cancel => "Cancelling jobs",
    };
    let content = html! {
        div.card data-running[end.is_none()] {
            progress max=(found.max(1)) value=(if end.is_some() && !stopped { found.max(1) } else { looked }) aria-label="Progress" {}
            p role="status" {
                @match &end {
                    Some(Ok(())) if stopped => { "Stopped: " (task.deed.done()) " " (counted(touched, "job")) " of " (number(found)) "." }
                    Some(Ok(())) => { "Done: " (task.deed.done()) " " (counted(touched, "job")) " of " (number(found)) "." @if touched < found { " Left the others: " (task.deed.refusal()) "." } }
                    Some(Err(problem)) => { "Failed after " (counted(touched, "job")) " of " (number(found)) ": " (visible(problem)) }
                    None => { (task.deed.done()) " " (number(touched)) " of " (number(found)) "…" }
                }
                @if unseen > 0 { " And " (number(unseen)) " that this queue could not list: start it again for the others, or use the command line by queue and state alone." }
            }
            @for server in &away { p.problem { "Took no part: " (visible(server)) } }
            @if end.is_none() && visit.changes { (button(&visit, &format!("/tasks/{id}/stop"), &[], "Stop", "danger")) }
        }
        p { a href=(visit.link("/jobs")) { "Back to the jobs" } }
    };
    let mut answer = whole(&visit, title, "/jobs", &live("task", &content));
    if end.is_none() {
        // For browsers without JavaScript.
        answer.headers_mut().insert("refresh", axum::http::HeaderValue::from_static("2"));
    }
    answer
}

pub(super) async fn stop(State(site): State<Arc<Site>>, visit: Visit, Named(id): Named) -> Response {
    let Ok(id) = id.parse::<u64>() else { return no_such_page(visit).await };
    let Some(task) = site.tasks.get(id) else { return no_such_task(id).page(&visit) };
    task.stop.store(true, Ordering::Relaxed);
    Redirect::to(&visit.link(&format!("/tasks/{id}"))).into_response()
}

fn no_such_task(id: u64) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is no task {id}, or it ended long ago"))
}
