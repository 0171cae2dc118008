//! The parameters of requests, and their limits.

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::address::query;
use super::html::{Problem, Visit, no_such_page};
use crate::config::parse_duration;
use crate::message::MessageId;
use crate::queue::{Filter, MessageState};

/// The longest value of a parameter, in bytes: names and reasons are shorter.
pub(super) const LONGEST_VALUE: usize = 300;

/// The number of messages on a page.
pub(super) const PAGE: usize = 50;

/// The parameters of a query or a form, by name; the last one counts.
pub(super) type Pairs = Vec<(String, String)>;

/// The filters of a list of jobs.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    said: BTreeMap<&'static str, String>,
}

/// The filters, with their labels.
pub(super) const FILTERS: [(&str, &str); 6] = [
    ("state", "State"),
    ("type", "Type"),
    ("queue", "Queue"),
    ("reason", "Error contains"),
    ("older", "In its state for longer than"),
    ("newer", "In its state for less than"),
];

impl Wanted {
    /// Reads the known parameters and ignores others.
    pub(super) fn read(pairs: &Pairs) -> Result<Self, Problem> {
        let mut wanted = Self::default();
        for (name, value) in pairs {
            let known = FILTERS.iter().map(|(name, _)| *name).chain(["after"]);
            let Some(name) = known.into_iter().find(|known| known == name) else { continue };
            let value = within_limits(name, value)?.trim();
            if !value.is_empty() {
                wanted.said.insert(name, value.to_owned());
            }
        }
        wanted.filter(Utc::now())?;
        Ok(wanted)
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.said.get(name).map(String::as_str)
    }

    /// Returns whether any filter is set.
    pub(super) fn narrows(&self) -> bool {
        self.said.keys().any(|name| *name != "after")
    }

    /// Returns the queue's filter at this time.
    pub(super) fn filter(&self, now: DateTime<Utc>) -> Result<Filter, Problem> {
        let mut filter = Filter::all();
        if let Some(state) = self.get("state") {
            filter = filter.state(state.parse::<MessageState>().map_err(bad)?);
        }
        if let Some(of) = self.get("type") {
            filter = filter.request_type(of);
        }
        if let Some(queue) = self.get("queue") {
            filter = filter.queue(queue);
        }
        if let Some(reason) = self.get("reason") {
            filter = filter.reason(reason);
        }
        let since = |name: &str| -> Result<Option<DateTime<Utc>>, Problem> {
            let Some(text) = self.get(name) else { return Ok(None) };
            let duration = parse_duration(text).map_err(|problem| bad(format!("{name}: {problem}")))?;
            let duration = TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
            Ok(Some(now.checked_sub_signed(duration).unwrap_or(DateTime::<Utc>::MIN_UTC)))
        };
        filter.older_than = since("older")?;
        filter.newer_than = since("newer")?;
        filter.after = self.get("after").map(MessageId::from);
        Ok(filter)
    }

    /// Returns the filters as a query string, for the page that begins after this message.
    pub(super) fn query(&self, after: Option<&str>) -> String {
        let said = self.said.iter().filter(|(name, _)| **name != "after").map(|(name, value)| (*name, value.as_str()));
        query(said.chain(after.map(|after| ("after", after))))
    }

    /// Returns the filters that are set, for hidden fields of a form.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.said.iter().filter(|(name, _)| **name != "after").map(|(name, value)| (*name, value.as_str()))
    }
}

/// The id of a job or a task in the path of a page.
pub(super) struct Named(pub(super) String);

/// Its name is unlike any of a program that nests the dashboard below a path with parameters of its own.
#[derive(Deserialize)]
struct ById {
    pulpo_id: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let visit = Visit::from_request_parts(parts, state).await.map_err(|status| status.into_response())?;
        // An id that is not UTF-8.
        let Ok(Path(ById { pulpo_id: id })) = Path::<ById>::from_request_parts(parts, state).await else {
            return Err(no_such_page(visit).await);
        };
        within_limits("id", &id).map_err(|problem| problem.page(&visit))?;
        Ok(Self(id))
    }
}

/// Returns the value of a field, within limits.
pub(super) fn field<'a>(pairs: &'a Pairs, name: &str) -> Result<Option<&'a str>, Problem> {
    let value = pairs.iter().rfind(|(of, _)| of == name).map(|(_, value)| within_limits(name, value)).transpose()?;
    Ok(value.filter(|value| !value.is_empty()))
}

/// Returns the value of a parameter, unless it is longer than any legitimate one or databases refuse it.
pub(super) fn within_limits<'a>(name: &str, value: &'a str) -> Result<&'a str, Problem> {
    if value.len() > LONGEST_VALUE {
        let length = value.len();
        return Err(bad(format!("expected {name:?} to have at most {LONGEST_VALUE} bytes, got {length}")));
    }
    if value.contains('\0') { Err(bad(format!("expected {name:?} without NUL characters"))) } else { Ok(value) }
}

pub(super) fn bad(problem: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, problem)
}
