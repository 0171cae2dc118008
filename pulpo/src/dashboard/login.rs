//! `/login` and `/logout`.

use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::html;

use super::access::{SESSION, cookie, same};
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
    Form(form): Form<Pairs>,
) -> Result<Response, Problem> {
    let given = field(&form, "token")?.unwrap_or_default();
    let Some(token) = &site.access.token else { return Ok(Redirect::to(&visit.link("/")).into_response()) };
    if !same(given, token.reveal()) {
        // Slows down guessing.
        tokio::time::sleep(Duration::from_millis(500)).await;
        return Ok(ask_for_token(&visit, Some("Wrong token."), StatusCode::UNAUTHORIZED));
    }
    let path = if visit.prefix.is_empty() { "/" } else { &visit.prefix };
    let cookie = format!("{SESSION}={}; Path={path}; HttpOnly; SameSite=Strict", site.access.begin());
    let mut answer = Redirect::to(&visit.link("/")).into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(answer)
}

pub(super) async fn logout(State(site): State<Arc<Site>>, visit: Visit, headers: HeaderMap) -> Response {
    if let Some(session) = cookie(&headers) {
        site.access.end(session);
    }
    Redirect::to(&visit.link("/login")).into_response()
}
