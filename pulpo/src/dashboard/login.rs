//! `/login` and `/logout`.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::html;

use super::access::{cookies, note_wrong_token, session_name};
use super::guard::Host;
use super::html::{Problem, Visit, page as whole};
use super::parameters::{Pairs, field};
use super::site::Site;

pub(super) async fn page(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    if site.access.token.is_none() {
        return Redirect::to(&visit.link("/")).into_response();
    }
    ask_for_token(&visit, None, StatusCode::OK)
}

fn ask_for_token(visit: &Visit, problem: Option<&str>, status: StatusCode) -> Response {
    let content = html! {
        form.card.login method="post" action=(visit.link("/login")) {
            @if let Some(problem) = problem { p.problem role="alert" { (problem) } }
            input type="hidden" name="csrf" value=(visit.csrf);
            label for="token" { "Token" }
            input #token type="password" name="token" autocomplete="current-password" required autofocus;
            button type="submit" { "Log in" }
        }
    };
    let mut answer = whole(visit, "Log in", "", &content);
    *answer.status_mut() = status;
    answer
}

pub(super) async fn login(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Host(host): Host,
    Form(form): Form<Pairs>,
) -> Result<Response, Problem> {
    let given = field(&form, "token")?.unwrap_or_default();
    if site.access.token.is_none() {
        return Ok(Redirect::to(&visit.link("/")).into_response());
    }
    if !site.access.is_token(given) {
        note_wrong_token().await;
        return Ok(ask_for_token(&visit, Some("Wrong token."), StatusCode::UNAUTHORIZED));
    }
    let (name, id) = (session_name(&host, &visit.prefix), site.access.begin());
    let cookie = format!("{name}={id}; Path={}; HttpOnly; SameSite=Strict", cookie_path(&visit.prefix));
    let mut answer = Redirect::to(&visit.link("/")).into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(answer)
}

pub(super) async fn logout(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Host(host): Host,
    headers: HeaderMap,
) -> Response {
    cookies(&headers, &session_name(&host, &visit.prefix)).for_each(|session| site.access.end(session));
    Redirect::to(&visit.link("/login")).into_response()
}

/// Returns the path of the session's cookie: the prefix, or the part of it before characters that a cookie's path
/// cannot have.
fn cookie_path(prefix: &str) -> &str {
    let path = match prefix.find([';', ',']) {
        Some(end) => &prefix[..prefix[..end].rfind('/').unwrap_or_default()],
        None => prefix,
    };
    if path.is_empty() { "/" } else { path }
}
