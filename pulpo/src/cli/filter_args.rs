//! The arguments that select messages.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::{WrongUsage, show};
use crate::config::parse_duration;
use crate::queue::{BodyField, Filter, MessageState};

/// The filters that `list`, `kick`, `cancel`, `delete` and `purge` share.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct FilterArgs {
    /// Only messages of this request type
    #[arg(long = "type", value_name = "T")]
    pub(super) request_type: Option<String>,
    /// Only messages in their state for longer than an age such as 1h, or since before a time
    #[arg(long, value_name = "AGE", value_parser = past)]
    pub(super) older: Option<DateTime<Utc>>,
    /// Only messages in their state for less than an age such as 10m, or since a time
    #[arg(long, value_name = "AGE", value_parser = past)]
    pub(super) newer: Option<DateTime<Utc>>,
    /// Only messages published before a time such as 2026-11-23T09:00:00Z, or longer ago than an age
    #[arg(long, value_name = "TIME", value_parser = past)]
    pub(super) published_before: Option<DateTime<Utc>>,
    /// Only messages published at a time or later, or within an age
    #[arg(long, value_name = "TIME", value_parser = past)]
    pub(super) published_after: Option<DateTime<Utc>>,
    /// Only messages with this text in their last error
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub(super) reason: Option<String>,
    /// Only messages with this value in their body, such as to=ada@example.com or address.city=London; repeated, with
    /// all of them
    #[arg(long, value_name = "FIELD=VALUE")]
    pub(super) body: Vec<BodyField>,
}

/// The names of the filters of [`FilterArgs`], for errors.
pub(super) const FILTERS: &str = "--type, --older, --newer, --published-before, --published-after, --reason or --body";

impl FilterArgs {
    /// Returns whether no filter is given.
    pub(super) fn is_empty(&self) -> bool {
        let Self { request_type, older, newer, published_before, published_after, reason, body } = self;
        request_type.is_none()
            && [older, newer, published_before, published_after].iter().all(|time| time.is_none())
            && reason.is_none()
            && body.is_empty()
    }

    /// Refuses combinations that no message can match.
    pub(super) fn check(&self) -> Result<(), WrongUsage> {
        for (before, name_before, after, name_after) in [
            (self.older, "--older", self.newer, "--newer"),
            (self.published_before, "--published-before", self.published_after, "--published-after"),
        ] {
            if let (Some(before), Some(after)) = (before, after)
                && before <= after
            {
                let (after, before) = (show::at(after), show::at(before));
                return Err(WrongUsage(format!(
                    "expected {name_after} to begin before {name_before} ends, got from {after} until {before}: \
                     no message fits both"
                )));
            }
        }
        Ok(())
    }

    pub(super) fn filter(&self, states: &[MessageState], queue: Option<&String>) -> Filter {
        let mut filter = Filter::all();
        filter.states = states.to_vec();
        filter.queue = queue.cloned();
        filter.request_type.clone_from(&self.request_type);
        filter.older_than = self.older;
        filter.newer_than = self.newer;
        filter.published_before = self.published_before;
        filter.published_after = self.published_after;
        filter.reason.clone_from(&self.reason);
        filter.body.clone_from(&self.body);
        filter
    }
}

/// Reads a limit, which must be at least one.
pub(super) fn limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("expected at least 1; leave out --limit to take all".to_owned()),
        Ok(limit) => Ok(limit),
        Err(_) => Err(format!("expected a number, got {text:?}")),
    }
}

/// Reads a time, or how long ago it was.
fn past(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let refused = || format!("expected an age such as 10m or a time such as 2026-11-23T09:00:00Z, got {text:?}");
    let age: Duration = parse_duration(text).map_err(|_| refused())?;
    let age = chrono::TimeDelta::from_std(age).map_err(|_| refused())?;
    Utc::now().checked_sub_signed(age).ok_or_else(refused)
}
