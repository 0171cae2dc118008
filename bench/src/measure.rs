//! Rows of the table: each measured in short rounds, the limit and pulpo in
//! turn, so that what else the machine does meets both; medians are shown.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// Messages of one batch.
pub(crate) const BATCH: u64 = 256;
/// Threads that publish at the same time.
pub(crate) const PRODUCERS: u64 = 8;

/// How long and how often.
#[derive(Clone, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    /// Where the queues of the rows are made.
    pub(crate) folder: Option<PathBuf>,
}

impl Effort {
    /// How long one round publishes.
    pub(crate) fn publish(&self) -> Duration {
        Duration::from_millis(if self.quick { 250 } else { 600 })
    }

    /// How many jobs one round drains.
    pub(crate) fn drain(&self) -> u64 {
        if self.quick { 12_000 } else { 60_000 }
    }

    /// A folder of its own.
    pub(crate) fn place(&self) -> tempfile::TempDir {
        let made = match &self.folder {
            Some(folder) => tempfile::tempdir_in(folder),
            None => tempfile::tempdir(),
        };
        made.expect("a folder")
    }

    /// A figure and its limit, taken in turn.
    pub(crate) fn against(
        &self,
        mut ours: impl FnMut() -> f64,
        mut limit: impl FnMut() -> f64,
    ) -> (Vec<f64>, Vec<f64>) {
        // The first round of each finds cold files: it does not count.
        let _ = (ours(), limit());
        (0..self.rounds).map(|_| (ours(), limit())).unzip()
    }
}

/// What was to be reached.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// At least this share of the limit.
    Ratio(f64),
    /// At least so much.
    AtLeast(f64),
    /// Less than this.
    Below(f64),
}

/// One row of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
    /// What is measured beside it, and its median.
    pub(crate) limit: Option<(&'static str, f64)>,
    /// The median of the rounds' ratios.
    pub(crate) ratio: Option<f64>,
    pub(crate) target: Option<Target>,
}

impl Row {
    /// A figure alone.
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self { name: name.into(), unit, value, limit: None, ratio: None, target: None }
    }

    /// Rates with those of a limit.
    pub(crate) fn rates(name: impl Into<String>, of: &'static str, (ours, limits): &(Vec<f64>, Vec<f64>)) -> Self {
        let ratios: Vec<_> = ours.iter().zip(limits).map(|(ours, limit)| ours / limit).collect();
        let limit = Some((of, median(limits)));
        Self { limit, ratio: Some(median(&ratios)), ..Self::new(name, "jobs/s", median(ours)) }
    }

    pub(crate) fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Whether it is reached.
    pub(crate) fn reached(&self) -> Option<bool> {
        Some(match self.target? {
            Target::Ratio(least) => self.ratio? >= least,
            Target::AtLeast(least) => self.value >= least,
            Target::Below(most) => self.value < most,
        })
    }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value that this share of the values does not exceed.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(place.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}
