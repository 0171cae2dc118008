//! The arguments that `kick`, `delete` and `cancel` share: which messages, and whether to ask first.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::deed::Sure;
use super::filter_args::{FilterArgs, limit};
use crate::queue::{Filter, MessageState};

/// Messages in a queue, those that filters select, or both; each field excludes the argument `ids`.
#[derive(Debug, Args)]
pub(super) struct Selection {
    /// Only messages in this queue
    #[arg(long, value_name = "Q", conflicts_with = "ids", value_parser = NonEmptyStringValueParser::new())]
    queue: Option<String>,
    #[command(flatten)]
    pub(super) filters: FilterArgs,
    /// Maximum number of messages, newest first
    #[arg(long, value_name = "N", conflicts_with = "ids", value_parser = limit)]
    limit: Option<usize>,
    #[command(flatten)]
    pub(super) sure: Sure,
}

impl Selection {
    /// Returns whether neither a queue nor a filter is given.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_none() && self.filters.is_empty()
    }

    /// Returns the filter for messages in one of these states.
    pub(super) fn filter(&self, states: &[MessageState]) -> Filter {
        let mut filter = self.filters.filter(states, self.queue.as_ref());
        filter.limit = self.limit;
        filter
    }
}
