//! The frame of each page, and shared parts.

use axum::extract::FromRequestParts;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderName, Method, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Redirect, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::address::{Paths, encoded, without_slash};
use crate::message::MessageId;
use crate::queue::{MessageState, Stats};
use crate::report::{self, visible};

/// One request: the path of the dashboard, and what the visitor may do.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    /// The path under which browsers see the dashboard, without a slash at its end.
    pub(super) prefix: String,
    /// Whether the overview is at the prefix with a slash at its end.
    pub(super) slash: bool,
    pub(super) csrf: String,
    pub(super) changes: bool,
    /// Whether the visitor can log out.
    pub(super) token: bool,
}

impl Visit {
    pub(super) fn new(paths: Paths<'_>, csrf: &str, changes: bool, token: bool) -> Self {
        let (prefix, slash) = paths.home();
        Self { prefix, slash, csrf: csrf.to_owned(), changes, token }
    }

    /// Returns the address of a page of the dashboard.
    pub(super) fn link(&self, path: &str) -> String {
        let is_home = path == "/" || path.starts_with("/?");
        let path = if is_home && !self.slash { &path[1..] } else { path };
        format!("{}{path}", self.prefix)
    }

    pub(super) fn job(&self, id: &MessageId) -> String {
        self.link(&format!("/jobs/{}", encoded(id.as_str())))
    }
}

impl<S: Sync> FromRequestParts<S> for Visit {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.extensions.get::<Self>().cloned().ok_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// An error page.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    text: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    /// Renders the error as a page.
    pub(super) fn page(&self, visit: &Visit) -> Response {
        let reason = self.status.canonical_reason().unwrap_or("Problem");
        let mut answer = page(visit, reason, "", &html! { p.card.problem role="alert" { (visible(&self.text)) } });
        *answer.status_mut() = self.status;
        answer
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // Without the frame, which needs a visit.
        (self.status, format!("{}\n", visible(&self.text))).into_response()
    }
}

pub(super) async fn no_such_page(visit: Visit) -> Response {
    Problem::new(StatusCode::NOT_FOUND, "no such page").page(&visit)
}

/// Answers at all other addresses. One with a slash at its end may be that of a page.
pub(super) async fn elsewhere(visit: Visit, method: Method, uri: Uri) -> Response {
    match without_slash(uri.path()) {
        Some(page) if method == Method::GET || method == Method::HEAD => {
            let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
            Redirect::temporary(&visit.link(&format!("{page}{query}"))).into_response()
        }
        _ => no_such_page(visit).await,
    }
}

pub(super) async fn wrong_method(visit: Visit) -> Response {
    let text = "this address does not take such a request: go to one of the pages above";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, text).page(&visit)
}

const PAGES: [(&str, &str); 5] =
    [("/", "Overview"), ("/jobs", "Jobs"), ("/queues", "Queues"), ("/schedules", "Schedules"), ("/workers", "Workers")];

/// Renders a whole page. `here` is the path of its entry in the navigation.
pub(super) fn page(visit: &Visit, title: &str, here: &str, content: &Markup) -> Response {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · pulpo" }
                link rel="stylesheet" href=(visit.link("/assets/style.css"));
                script src=(visit.link("/assets/script.js")) defer {}
            }
            body data-events=(visit.link("/events")) {
                a.skip href="#content" { "Skip to content" }
                header {
                    a.name href=(visit.link("/")) { "pulpo" }
                    nav aria-label="Pages" {
                        @for (path, name) in PAGES {
                            a href=(visit.link(path)) aria-current=[(path == here).then_some("page")] { (name) }
                        }
                    }
                    @if visit.token && !here.is_empty() {
                        form method="post" action=(visit.link("/logout")) {
                            (secret(visit))
                            button.quiet type="submit" { "Log out" }
                        }
                    }
                }
                main #content tabindex="-1" {
                    h1 { (title) }
                    (content)
                }
                footer {
                    @if !visit.changes { span { "Read-only. To act on jobs, start it with --allow-changes (in code: Dashboard::allow_changes)." } }
                    @if !here.is_empty() { noscript { a href="" { "Refresh this page" } } }
                    span.live role="status" hidden { "Live" }
                }
            }
        }
    };
    Html(markup.into_string()).into_response()
}

/// Returns the hidden field that each form sends back.
pub(super) fn secret(visit: &Visit) -> Markup {
    html! { input type="hidden" name="csrf" value=(visit.csrf); }
}

/// Returns a form with one button.
pub(super) fn button(visit: &Visit, path: &str, fields: &[(&str, &str)], name: &str, class: &str) -> Markup {
    button_of(visit, path, fields, (name, None), class)
}

/// Returns such a form for a row of a table: screen readers announce the row's name too.
pub(super) fn button_of(
    visit: &Visit,
    path: &str,
    fields: &[(&str, &str)],
    (name, row): (&str, Option<&str>),
    class: &str,
) -> Markup {
    html! {
        form.inline method="post" action=(visit.link(path)) {
            (secret(visit))
            @for (field, value) in fields { input type="hidden" name=(field) value=(value); }
            button class=(class) type="submit" aria-label=[row.map(|row| format!("{name} {}", foreign(row, 100)))] { (name) }
        }
    }
}

/// Renders a time as `3 min ago`, with the exact time as a tooltip.
pub(super) fn age(time: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Markup {
    let Some(time) = time else { return html! { span.faint { "–" } } };
    let passed = now - time;
    let rough = rough(passed);
    let text = if passed.num_milliseconds() < 0 { format!("in {rough}") } else { format!("{rough} ago") };
    let whole = time.to_rfc3339_opts(SecondsFormat::Secs, true);
    html! { time datetime=(whole) title=(whole) { (text) } }
}

/// Renders a duration in one unit: `45 s`, `3 h`.
pub(super) fn rough(passed: chrono::TimeDelta) -> String {
    let seconds = passed.abs().num_seconds();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Formats a number: `1,234,567`.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let parts: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    parts.join(",")
}

/// Formats a count: `1 job`, `1,234 jobs`.
pub(super) fn counted(count: u64, thing: &str) -> String {
    format!("{} {thing}{}", number(count), if count == 1 { "" } else { "s" })
}

pub(super) fn state(state: MessageState) -> Markup {
    html! { span class=(format!("state {state}")) { (state.to_string()) } }
}

/// Prepares a text from outside: escapes control characters, and cuts a long text.
pub(super) fn foreign(text: &str, longest: usize) -> String {
    visible(&report::limited_to(text.to_owned(), longest))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, &str); 2] = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "max-age=300")];
    (headers, text).into_response()
}

pub(super) async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("assets/style.css"))
}

pub(super) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("assets/script.js"))
}

/// Renders a paragraph for each server that did not answer.
pub(super) fn unreachable(stats: &Stats) -> Markup {
    html! {
        @for one in &stats.unreachable {
            p.card.problem role="alert" { (foreign(&one.server, 200)) " does not answer: " (foreign(&one.error.to_string(), 300)) }
        }
    }
}

/// Marks a part of a page that the script refreshes.
pub(super) fn live(name: &str, content: &Markup) -> Markup {
    html! { section data-live=(name) { (content) } }
}

/// Returns no content.
pub(super) const fn nothing() -> Markup {
    PreEscaped(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overview_has_a_slash_at_its_end_or_none() {
        let link = |slash, path| {
            let prefix = "/x".to_owned();
            Visit { prefix, slash, csrf: String::new(), changes: false, token: false }.link(path)
        };
        assert_eq!(
            [link(true, "/"), link(true, "/?span=day"), link(true, "/jobs")],
            ["/x/", "/x/?span=day", "/x/jobs"]
        );
        assert_eq!(
            [link(false, "/"), link(false, "/?span=day"), link(false, "/jobs")],
            ["/x", "/x?span=day", "/x/jobs"]
        );
    }

    #[test]
    fn a_number_is_grouped() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
    }
}
