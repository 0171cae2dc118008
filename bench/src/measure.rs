//! Rows of the table. Each is measured in short rounds, alternating between the limit and pulpo, so
//! that other load on the machine affects both; the table shows medians.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// The number of messages in a batch.
pub(crate) const BATCH: u64 = 256;
/// The number of threads that publish at the same time.
pub(crate) const PRODUCERS: u64 = 8;

/// The length and number of the rounds.
#[derive(Clone, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    /// The folder for the queues of the rows.
    pub(crate) folder: Option<PathBuf>,
}

impl Effort {
    /// Returns how long one round publishes.
    pub(crate) fn publish(&self) -> Duration {
        Duration::from_millis(if self.quick { 250 } else { 600 })
    }

    /// Returns the number of jobs that one round drains.
    pub(crate) fn drain(&self) -> u64 {
        if self.quick { 12_000 } else { 60_000 }
    }

    /// Creates a new folder.
    pub(crate) fn place(&self) -> tempfile::TempDir {
        let made = match &self.folder {
            Some(folder) => tempfile::tempdir_in(folder),
            None => tempfile::tempdir(),
        };
        made.expect("a folder")
    }

    /// Measures a figure and its limit alternately.
    pub(crate) fn against(
        &self,
        mut ours: impl FnMut() -> f64,
        mut limit: impl FnMut() -> f64,
    ) -> (Vec<f64>, Vec<f64>) {
        // The first round of each finds cold files, so it does not count.
        let _ = (ours(), limit());
        (0..self.rounds).map(|_| (ours(), limit())).unzip()
    }
}

/// The goal of a row.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    /// At least this share of the limit.
    Ratio(f64),
    /// At least this value.
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
    /// The quantity to compare with, and its median.
    pub(crate) limit: Option<(&'static str, f64)>,
    /// The median of the rounds' ratios.
    pub(crate) ratio: Option<f64>,
    pub(crate) target: Option<Target>,
}

impl Row {
    /// Returns a row with a single figure.
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self { name: name.into(), unit, value, limit: None, ratio: None, target: None }
    }

    /// Returns a row with rates and those of a limit.
    pub(crate) fn rates(name: impl Into<String>, of: &'static str, (ours, limits): &(Vec<f64>, Vec<f64>)) -> Self {
        let ratios: Vec<_> = ours.iter().zip(limits).map(|(ours, limit)| ours / limit).collect();
        let limit = Some((of, median(limits)));
        Self { limit, ratio: Some(median(&ratios)), ..Self::new(name, "jobs/s", median(ours)) }
    }

    pub(crate) fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Checks whether the target is reached.
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

/// Returns the value that this share of the values does not exceed.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(place.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}
