//! What is checked before each page: the host, the login, and what a change needs.

use std::sync::Arc;

use axum::extract::{OriginalUri, Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::access::same;
use super::html::{Problem, Visit};
use super::site::Site;

/// Maximum size of a form, in bytes.
pub(super) const FORM_BYTES: usize = 64 * 1024;

/// Checks each request: its host, its login, and its right to change anything.
pub(super) async fn check_visit(
    State(site): State<Arc<Site>>,
    uri: OriginalUri,
    mut request: Request,
    next: Next,
) -> Response {
    let inner = request.uri().path().to_owned();
    let visit = Visit::new(uri.path(), &inner, &site.access.csrf, site.changes, site.access.token.is_some());
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
    let bytes = axum::body::to_bytes(body, FORM_BYTES).await.map_err(|_| {
        let most = FORM_BYTES;
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
