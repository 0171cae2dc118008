//! The checks before each page: the host, the login, and the token of a form that changes something.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, NestedPath, OriginalUri, Request, State};
use axum::http::header::{HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::access::{LOGIN, LOGOUT, Missing, note_wrong_token, same, session_name};
use super::address::Paths;
use super::html::{Problem, Visit};
use super::site::Site;
use crate::report::{limited_to, visible};

/// Maximum size of a form, in bytes.
pub(super) const FORM_BYTES: usize = 64 * 1024;

/// How many bytes of a form are logged.
const LONGEST_LOGGED: usize = 300;

/// Checks each request: its host, its login, and its right to change anything.
pub(super) async fn check_visit(
    State(site): State<Arc<Site>>,
    uri: OriginalUri,
    mut request: Request,
    next: Next,
) -> Response {
    let inner = request.uri().path().to_owned();
    let csrf = site.access.csrf_of(&inner);
    let nested = request.extensions().get::<NestedPath>().map(NestedPath::as_str);
    let paths = Paths { removed: &site.path, whole: uri.path(), inner: &inner, nested };
    let visit = Visit::new(paths, csrf, site.changes, site.access.token.is_some());
    let checked = check(&site, &visit, &inner, &mut request).await;
    let answer = match checked {
        Ok(Checked::Looks) => {
            request.extensions_mut().insert(visit);
            next.run(request).await
        }
        Ok(Checked::Changes(fields)) => {
            request.extensions_mut().insert(visit);
            let answer = next.run(request).await;
            site.counts.forget();
            if inner != LOGIN && inner != LOGOUT && answer.status() == StatusCode::SEE_OTHER {
                tracing::info!(path = inner, fields, "changed on the dashboard");
            }
            answer
        }
        Err(Refused::Login(Missing::Login)) if request.method() == Method::GET => {
            Redirect::to(&visit.link(LOGIN)).into_response()
        }
        Err(Refused::Login(missing)) => {
            if missing == Missing::WrongBearer {
                note_wrong_token().await;
            }
            let problem = Problem::new(StatusCode::UNAUTHORIZED, "expected the token of the dashboard");
            let mut answer = problem.page(&visit);
            answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            answer
        }
        Err(Refused::Because(problem)) => problem.page(&visit),
    };
    with_headers(answer)
}

enum Refused {
    Login(Missing),
    Because(Problem),
}

/// A request that may go on.
enum Checked {
    Looks,
    /// With the fields of its form, for the log.
    Changes(String),
}

async fn check(site: &Site, visit: &Visit, inner: &str, request: &mut Request) -> Result<Checked, Refused> {
    let forbidden = |why: String| Refused::Because(Problem::new(StatusCode::FORBIDDEN, why));
    let host = host_of(request.headers(), request.uri()).unwrap_or_default();
    site.hosts.check(&host).map_err(|known| {
        forbidden(format!(
            "expected the host to be one of {known}, got {host:?}: add it to `dashboard_hosts` if it is yours"
        ))
    })?;
    let open = inner.starts_with("/assets/") || inner == LOGIN;
    if !open {
        let session = session_name(&host, &visit.prefix);
        site.access.check(request.headers(), &session).map_err(Refused::Login)?;
    }
    if request.method() != Method::POST {
        return Ok(Checked::Looks);
    }
    let admits = |origin: &HeaderValue| origin.to_str().is_ok_and(|origin| site.hosts.admit_origin(origin, &host));
    if let Some(origin) = request.headers().get_all(ORIGIN).iter().find(|origin| !admits(origin)) {
        return Err(forbidden(format!(
            "expected a change from a page of {host:?}, got one from {origin:?}: behind a proxy, set `dashboard_hosts` \
             to the host that browsers ask for"
        )));
    }
    if request.headers().get("sec-fetch-site").is_some_and(|from| from == "cross-site") {
        return Err(forbidden("expected a change from a page of the dashboard, got one from another site".to_owned()));
    }
    let session = inner == LOGIN || inner == LOGOUT;
    if !site.changes && !session {
        return Err(forbidden(
            "this dashboard is read-only: start it with --allow-changes (in code: Dashboard::allow_changes)".to_owned(),
        ));
    }
    let body = std::mem::take(request.body_mut());
    let bytes = axum::body::to_bytes(body, FORM_BYTES).await.map_err(|_| {
        let most = FORM_BYTES;
        Refused::Because(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("expected a form of at most {most} bytes"),
        ))
    })?;
    *request.body_mut() = bytes.clone().into();
    let given = form_field(&bytes, "csrf");
    if given.is_none_or(|given| !same(&given, &visit.csrf)) {
        return Err(forbidden("the form is out of date: reload the page and try again".to_owned()));
    }
    Ok(Checked::Changes(logged(&bytes)))
}

/// Returns the fields of a form as they may be logged: without secrets, and without reasons, which may quote a body.
fn logged(form: &[u8]) -> String {
    let text = String::from_utf8_lossy(form);
    let is_secret = |field: &&str| ["csrf=", "token=", "reason="].iter().any(|name| field.starts_with(name));
    let fields: Vec<_> = text.split('&').filter(|field| !is_secret(field)).collect();
    visible(&limited_to(fields.join("&"), LONGEST_LOGGED))
}

/// Returns a field of a form. The secrets that it may contain need no decoding.
fn form_field(bytes: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let value = text.split('&').filter_map(|pair| pair.split_once('=')).find(|(of, _)| *of == name)?.1;
    Some(value.to_owned())
}

/// Returns the host of a request. `None` if it names none, or several.
fn host_of(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    if headers.get_all(HOST).iter().count() > 1 {
        return None;
    }
    let header = headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
    header.or_else(|| uri.authority().map(ToString::to_string))
}

/// The host of a request.
pub(super) struct Host(pub(super) String);

impl<S: Sync> FromRequestParts<S> for Host {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(host_of(&parts.headers, &parts.uri).unwrap_or_default()))
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
