//! Handlers that run by schedules. Each test chooses which of them a worker has.

use std::sync::{Arc, Mutex};

use pulpo::{Context, State};
use serde::{Deserialize, Serialize};

/// The jobs that ran, and the times that they were for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs(Arc<Mutex<Vec<String>>>);

impl Runs {
    fn note(&self, name: &str, context: &Context) {
        let at = context.scheduled_for().map_or_else(|| "unasked".to_owned(), |at| at.format("%d %H:%M").to_string());
        self.0.lock().unwrap().push(format!("{name} {at}"));
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Nightly {}

#[pulpo::handler("nightly", queue = "nightly", cron = "0 3 * * *")]
pub(crate) fn nightly(_: Nightly, runs: State<Runs>, context: &Context) {
    runs.note("nightly", context);
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Skipping {}

#[pulpo::handler("skipping", queue = "skipping", cron = "0 3 * * *", missed = "skip")]
pub(crate) fn skipping(_: Skipping, runs: State<Runs>, context: &Context) {
    runs.note("skipping", context);
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Each {}

#[pulpo::handler("each", queue = "each", cron(0 3 * * *), missed = "all", overlap = "allow")]
pub(crate) fn each(_: Each, runs: State<Runs>, context: &Context) {
    runs.note("each", context);
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Weekly {}

#[pulpo::handler("weekly", cron = "0 4 * * SUN", queue = "weekly")]
pub(crate) fn weekly(_: Weekly, runs: State<Runs>, context: &Context) {
    runs.note("weekly", context);
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct EachWeek {}

/// On Thursdays, the day of the week on which 1970 began.
#[pulpo::handler("each_week", every = "7d", queue = "each_week")]
pub(crate) fn each_week(_: EachWeek, runs: State<Runs>, context: &Context) {
    runs.note("each_week", context);
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Renamed {}

#[pulpo::handler("renamed", queue = "renamed", cron = "0 5 * * *", alias = "former")]
pub(crate) fn renamed(_: Renamed, runs: State<Runs>, context: &Context) {
    runs.note("renamed", context);
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Often {}

#[pulpo::handler("often", queue = "often", every = "5m", overlap = "allow")]
pub(crate) fn often(_: Often, runs: State<Runs>, context: &Context) {
    runs.note("often", context);
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Berlin {
    pub(crate) pages: u32,
}

#[pulpo::handler("berlin", queue = "berlin", cron(30 2 * * *), cron = "0 12 * * 1-5", tz = "Europe/Berlin")]
pub(crate) fn berlin(report: Berlin, runs: State<Runs>, context: &Context) {
    assert_eq!(report.pages, 0);
    runs.note("berlin", context);
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failing {}

impl Default for Failing {
    fn default() -> Self {
        panic!("no default today")
    }
}

#[pulpo::handler("failing", queue = "failing", every = "5m")]
pub(crate) fn failing(_: Failing) {}
