//! Access control: the token, and the sessions of browsers that have sent it.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE};

use crate::sync::lock;
use crate::worker::Secret;

pub(super) const LOGIN: &str = "/login";
pub(super) const LOGOUT: &str = "/logout";

/// How long a session lasts.
const SESSION_LASTS: Duration = Duration::from_secs(12 * 60 * 60);

/// Maximum number of sessions; the oldest is dropped first.
const SESSIONS: usize = 1000;

/// The secrets of one dashboard.
pub(super) struct Access {
    pub(super) token: Option<Secret>,
    /// Each form sends it back. A foreign page cannot know it.
    csrf: String,
    /// The same for the login form, which is shown to anyone.
    login_csrf: String,
    sessions: Mutex<VecDeque<(String, Instant)>>,
}

impl Access {
    pub(super) fn new(token: Option<Secret>) -> Self {
        Self { token, csrf: secret(), login_csrf: secret(), sessions: Mutex::default() }
    }

    pub(super) fn begin(&self) -> String {
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

    pub(super) fn end(&self, session: &str) {
        lock(&self.sessions).retain(|(id, _)| !same(id, session));
    }

    /// Returns the secret that the forms of this page send back.
    pub(super) fn csrf_of(&self, inner: &str) -> &str {
        if inner == LOGIN { &self.login_csrf } else { &self.csrf }
    }

    pub(super) fn is_token(&self, given: &str) -> bool {
        self.token.as_ref().is_some_and(|token| !given.is_empty() && same(given, token.reveal()))
    }

    /// Checks for the token or a session.
    pub(super) fn check(&self, headers: &HeaderMap, session: &str) -> Result<(), Missing> {
        if self.token.is_none() || cookies(headers, session).any(|id| self.knows(id)) {
            return Ok(());
        }
        match bearer(headers) {
            Some(given) if self.is_token(given) => Ok(()),
            Some(_) => Err(Missing::WrongBearer),
            None => Err(Missing::Login),
        }
    }
}

/// A request without a valid login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Login,
    WrongBearer,
}

/// Returns the token of the header `Authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (kind, given) = text.split_once(' ').unwrap_or((text, ""));
    kind.eq_ignore_ascii_case("bearer").then(|| given.trim())
}

/// Slows down guessing, and tells the operator.
pub(super) async fn note_wrong_token() {
    tracing::warn!("a visitor of the dashboard gave a wrong token");
    tokio::time::sleep(Duration::from_millis(500)).await;
}

/// Returns 128 random bits as text.
fn secret() -> String {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).expect("the system gives random bits");
    bits.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compares two secrets in constant time.
pub(super) fn same(given: &str, right: &str) -> bool {
    given.len() == right.len() && given.bytes().zip(right.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// Returns the name of the session's cookie. A browser sends a cookie to all ports of a host, where other dashboards may
/// answer.
pub(super) fn session_name(host: &str, prefix: &str) -> String {
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let mut hasher = DefaultHasher::new();
    (port, prefix).hash(&mut hasher);
    format!("pulpo_session_{:08x}", hasher.finish() & 0xffff_ffff)
}

/// Returns the values of all cookies of this name: a page elsewhere on the host may have set one too.
pub(super) fn cookies<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|all| all.split(';'));
    all.filter_map(|one| one.trim().split_once('=')).filter(move |(of, _)| *of == name).map(|(_, value)| value)
}
