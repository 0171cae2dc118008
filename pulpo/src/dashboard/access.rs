//! Access control: hosts, logins, and the checks before a change.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Form;
use axum::extract::{OriginalUri, Request, State};
use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::html;

use super::Site;
use super::html::{Problem, Visit, page};
use super::parameters::{Pairs, field};
use crate::clock::lock;
use crate::worker::Secret;

const SESSION: &str = "pulpo_session";

/// How long a session lasts.
const SESSION_LASTS: Duration = Duration::from_secs(12 * 60 * 60);

/// Maximum number of sessions; the oldest is dropped first.
const SESSIONS: usize = 1000;

/// The secrets of one dashboard.
pub(super) struct Access {
    token: Option<Secret>,
    /// Each form sends it back. A foreign page cannot know it.
    csrf: String,
    sessions: Mutex<VecDeque<(String, Instant)>>,
}

impl Access {
    pub(super) fn new(token: Option<Secret>) -> Self {
        Self { token, csrf: secret(), sessions: Mutex::default() }
    }

    fn begin(&self) -> String {
        let id = secret();
        let mut sessions = lock(&self.sessions);
        if sessions.len() >= SESSIONS {
            sessions.pop_front();
        }
        sessions.push_back((id.clone(), Instant::now()));
        id
    }

    fn knows(&self, session: &str) -> bool {
        let mut sessions = lock(&self.sessions);
        sessions.retain(|(_, since)| since.elapsed() < SESSION_LASTS);
        sessions.iter().any(|(id, _)| same(id, session))
    }

    fn end(&self, session: &str) {
        lock(&self.sessions).retain(|(id, _)| !same(id, session));
    }

    /// Returns whether the request has the token or a session.
    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer =
            bearer.and_then(|value| value.split_once(' ')).filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
        bearer.is_some_and(|(_, given)| same(given.trim(), token.reveal()))
            || cookie(headers).is_some_and(|id| self.knows(id))
    }
}

/// Returns 128 random bits as text.
fn secret() -> String {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).expect("the system gives random bits");
    bits.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares two secrets in constant time.
fn same(given: &str, right: &str) -> bool {
    given.len() == right.len() && given.bytes().zip(right.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|all| all.split(';'));
    cookies.filter_map(|one| one.trim().split_once('=')).find(|(name, _)| *name == SESSION).map(|(_, value)| value)
}

/// Checks each request: its host, its login, and its right to change anything.
pub(super) async fn guard(
    State(site): State<Arc<Site>>,
    uri: OriginalUri,
    mut request: Request,
    next: Next,
) -> Response {
    let inner = request.uri().path().to_owned();
    let visit = Visit::new(&site, uri.path(), &inner, &site.access.csrf, site.access.token.is_some());
    let checked = check(&site, &visit, &inner, &mut request).await;
    let answer = match checked {
        Ok(()) => {
            request.extensions_mut().insert(visit);
            let changes = request.method() == Method::POST;
            let answer = next.run(request).await;
            if changes {
                site.counts.forget();
            }
            answer
        }
        Err(Refused::Login) if request.method() == Method::GET => {
            Redirect::to(&format!("{}/login", visit.prefix)).into_response()
        }
        Err(Refused::Login) => {
            Problem::new(StatusCode::UNAUTHORIZED, "expected the token of the dashboard").page(&visit)
        }
        Err(Refused::Because(problem)) => problem.page(&visit),
    };
    with_headers(answer)
}

enum Refused {
    Login,
    Because(Problem),
}

async fn check(site: &Site, visit: &Visit, inner: &str, request: &mut Request) -> Result<(), Refused> {
    let forbidden = |why: String| Refused::Because(Problem::new(StatusCode::FORBIDDEN, why));
    let host = host_of(request).unwrap_or_default();
    if let Some(hosts) = &site.hosts
        && !hosts.iter().any(|known| known.eq_ignore_ascii_case(without_port(&host)))
    {
        let known = hosts.join(", ");
        return Err(forbidden(format!(
            "expected the host to be one of {known}, got {host:?}: add it to `dashboard_hosts` if it is yours"
        )));
    }
    let open = inner.starts_with("/assets/") || inner == "/login";
    if !open && !site.access.admits(request.headers()) {
        return Err(Refused::Login);
    }
    if request.method() != Method::POST {
        return Ok(());
    }
    if let Some(origin) = request.headers().get(ORIGIN) {
        let from = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
        if from.is_none_or(|from| !from.eq_ignore_ascii_case(&host)) {
            return Err(forbidden(format!("expected a change from a page of {host:?}, got one from {origin:?}")));
        }
    }
    let session = inner == "/login" || inner == "/logout";
    if !site.changes && !session {
        return Err(forbidden("this dashboard is read-only: start it with --allow-changes".to_owned()));
    }
    let body = std::mem::take(request.body_mut());
    let bytes = axum::body::to_bytes(body, super::FORM_BYTES).await.map_err(|_| {
        let most = super::FORM_BYTES;
        Refused::Because(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a form has at most {most} bytes")))
    })?;
    *request.body_mut() = bytes.clone().into();
    let given = form_field(&bytes, "csrf");
    if given.is_none_or(|given| !same(&given, &visit.csrf)) {
        return Err(forbidden("the form is out of date: reload the page and try again".to_owned()));
    }
    Ok(())
}

/// Returns a field of a form. The secrets that it may contain need no decoding.
fn form_field(bytes: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let value = text.split('&').filter_map(|pair| pair.split_once('=')).find(|(of, _)| *of == name)?.1;
    Some(value.to_owned())
}

fn host_of(request: &Request) -> Option<String> {
    let header = request.headers().get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    header.or_else(|| request.uri().authority().map(ToString::to_string))
}

/// Strips the port and the brackets from `host:80` or `[::1]:80`.
fn without_port(host: &str) -> &str {
    match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// Sets the headers of every response.
fn with_headers(mut answer: Response) -> Response {
    const HEADERS: [(&str, &str); 6] = [
        (
            "content-security-policy",
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
             form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        // Not `no-referrer`, which makes browsers hide the origin of a form.
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ];
    for (name, value) in HEADERS {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer.headers_mut().entry("cache-control").or_insert(HeaderValue::from_static("no-store"));
    answer
}

pub(super) async fn login_page(State(site): State<Arc<Site>>, visit: Visit) -> Response {
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
    let mut answer = page(visit, "Log in", "", &content);
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
