//! `/tasks/ID`: the progress of a change to many jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::html;

use super::html::{Problem, Visit, button, counted, live, page as whole};
use super::site::Site;
use super::tasks::Deed;
use crate::clock::lock;

pub(super) async fn page(State(site): State<Arc<Site>>, visit: Visit, Path(id): Path<u64>) -> Response {
    let Some(task) = site.tasks.get(id) else { return no_such_task(id).page(&visit) };
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (found, looked, touched) = (read(&task.found), read(&task.looked), read(&task.touched));
    let end = lock(&task.end).clone();
    let stopped = task.stop.load(Ordering::Relaxed);
    let title = match task.deed {
        Deed::Retry => "Retrying jobs",
        Deed::Delete => "Deleting jobs",
        Deed::Cancel => "Cancelling jobs",
    };
    let content = html! {
        div.card {
            progress max=(found.max(1)) value=(if end.is_some() && !stopped { found.max(1) } else { looked }) aria-label="Progress" {}
            p role="status" {
                @match &end {
                    Some(Ok(())) if stopped => { "Stopped: " (task.deed.done()) " " (counted(touched, "job")) " of " (found) "." }
                    Some(Ok(())) => { "Done: " (task.deed.done()) " " (counted(touched, "job")) " of " (found) "." @if touched < found { " Left the others: " (task.deed.refusal()) "." } }
                    Some(Err(problem)) => { "Failed after " (counted(touched, "job")) " of " (found) ": " (problem) }
                    None => { (task.deed.done()) " " (touched) " of " (found) "…" }
                }
            }
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

pub(super) async fn stop(State(site): State<Arc<Site>>, visit: Visit, Path(id): Path<u64>) -> Response {
    let Some(task) = site.tasks.get(id) else { return no_such_task(id).page(&visit) };
    task.stop.store(true, Ordering::Relaxed);
    Redirect::to(&visit.link(&format!("/tasks/{id}"))).into_response()
}

fn no_such_task(id: u64) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is no task {id}, or it ended long ago"))
}
