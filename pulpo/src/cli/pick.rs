//! Which messages a command is about.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;

use crate::config::parse_duration;
use crate::queue::{Filter, State};

/// The filters that `list`, `kick`, `delete` and `purge` share.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Pick {
    /// Only those of this request type
    #[arg(long = "type", value_name = "T")]
    pub(super) request_type: Option<String>,
    /// Only those that were published longer ago: an age such as 1h, or a time
    #[arg(long, value_name = "AGE", value_parser = past)]
    pub(super) older: Option<DateTime<Utc>>,
    /// Only those that were published since: an age such as 10m, or a time
    #[arg(long, value_name = "AGE", value_parser = past)]
    pub(super) newer: Option<DateTime<Utc>>,
    /// Only those with this text in their last error
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
}

impl Pick {
    /// Whether it says nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.request_type.is_none() && self.older.is_none() && self.newer.is_none() && self.reason.is_none()
    }

    pub(super) fn filter(&self, states: &[State], queue: Option<&String>) -> Filter {
        let mut filter = Filter::all();
        filter.states = states.to_vec();
        filter.queue = queue.cloned();
        filter.request_type.clone_from(&self.request_type);
        filter.older_than = self.older;
        filter.newer_than = self.newer;
        filter.reason.clone_from(&self.reason);
        filter
    }
}

/// A time, or how long ago that is.
fn past(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let refused = || format!("expected an age such as 10m or a time such as 2026-11-23T09:00:00Z, got {text:?}");
    let age: Duration = parse_duration(text).map_err(|_| refused())?;
    let age = chrono::TimeDelta::from_std(age).map_err(|_| refused())?;
    Utc::now().checked_sub_signed(age).ok_or_else(refused)
}
