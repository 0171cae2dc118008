//! Who may enter: the token, and the sessions of those who gave it.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE};

use crate::clock::lock;
use crate::worker::Secret;

pub(super) const SESSION: &str = "pulpo_session";

/// How long a session lasts.
const SESSION_LASTS: Duration = Duration::from_secs(12 * 60 * 60);

/// Maximum number of sessions; the oldest is dropped first.
const SESSIONS: usize = 1000;

/// The secrets of one dashboard.
pub(super) struct Access {
    pub(super) token: Option<Secret>,
    /// Each form sends it back. A foreign page cannot know it.
    pub(super) csrf: String,
    sessions: Mutex<VecDeque<(String, Instant)>>,
}

impl Access {
    pub(super) fn new(token: Option<Secret>) -> Self {
        Self { token, csrf: secret(), sessions: Mutex::default() }
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

    /// Returns whether the request has the token or a session.
    pub(super) fn admits(&self, headers: &HeaderMap) -> bool {
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
pub(super) fn same(given: &str, right: &str) -> bool {
    given.len() == right.len() && given.bytes().zip(right.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

pub(super) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|all| all.split(';'));
    cookies.filter_map(|one| one.trim().split_once('=')).find(|(name, _)| *name == SESSION).map(|(_, value)| value)
}
