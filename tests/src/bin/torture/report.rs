//! The final report of the driver.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::history::History;
use crate::ledger::Fault;
use crate::scene;
use crate::verify::{Cause, Violation};

/// All figures of one run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    queue: Option<scene::Kind>,
    seed: u64,
    producers: usize,
    workers: usize,
    /// The seconds with kills, and then without, until the queue was empty.
    seconds: f64,
    drained_in: f64,
    kills: Kills,
    /// `publish` returned Ok.
    pub(crate) published: u64,
    /// The producer died before it knew, or received an unknown outcome.
    pub(crate) perhaps_published: u64,
    /// `publish` returned that it is not in the queue.
    pub(crate) refused: u64,
    /// Published from within a handler.
    pub(crate) follow_ups: u64,
    pub(crate) runs: u64,
    pub(crate) done: u64,
    pub(crate) buried: u64,
    pub(crate) lost: u64,
    pub(crate) stranded: u64,
    /// Runs of jobs after a run that had not failed.
    pub(crate) extra_runs: u64,
    pub(crate) explained: BTreeMap<Cause, u64>,
    /// Runs that never ended.
    pub(crate) cut_off: u64,
    /// Attempts whose worker died before it called the handler.
    pub(crate) unseen: u64,
    /// How many of them the kills and standstills may cause, on beanstalkd.
    pub(crate) most_unseen: u64,
    /// The causes of those attempts, on beanstalkd.
    pub(crate) unseen_by: BTreeMap<Cause, u64>,
    /// Messages that the spool sent more than once.
    pub(crate) sent_again: u64,
    pub(crate) attempts_wrong: u64,
    pub(crate) violations: Vec<Violation>,
    /// The folder of the evidence, if something is wrong.
    pub(crate) folder: Option<PathBuf>,
}

/// The number of faults of each kind.
#[derive(Debug, Default, Serialize)]
struct Kills {
    workers: usize,
    producers: usize,
    servers: usize,
    /// Workers that a job aborted.
    aborts: usize,
    /// Workers that stood still for longer than their leases.
    pauses: usize,
    /// Workers that were told to end.
    stops: usize,
}

impl Report {
    pub(crate) fn new(history: &History) -> Self {
        let killed = |life: &&crate::history::Life| life.faults.iter().any(|(_, fault)| *fault == Fault::Kill);
        let kills = Kills {
            workers: history.faults("worker", Fault::Kill),
            producers: history.faults("producer", Fault::Kill),
            servers: history.server_kills.len(),
            aborts: history.processes.values().filter(|life| life.died() && !killed(life)).count(),
            pauses: history.faults("worker", Fault::Pause),
            stops: history.faults("worker", Fault::Stop),
        };
        Self { kills, ..Self::default() }
    }

    pub(crate) fn fill(
        &mut self,
        queue: scene::Kind,
        seed: u64,
        [producers, workers]: [usize; 2],
        tortured: Duration,
        drained: Duration,
    ) {
        (self.queue, self.seed, self.producers, self.workers) = (Some(queue), seed, producers, workers);
        let rounded = |time: Duration| (time.as_secs_f64() * 10.0).round() / 10.0;
        (self.seconds, self.drained_in) = (rounded(tortured), rounded(drained));
    }

    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("figures and texts are JSON")
    }

    pub(crate) fn table(&self) -> String {
        let Kills { workers, producers, servers, aborts, pauses, stops } = &self.kills;
        let [explained, unseen_by] = [&self.explained, &self.unseen_by].map(|by| {
            let all: Vec<_> = by.iter().map(|(cause, count)| format!("{count} {cause}")).collect();
            if all.is_empty() { "none".to_owned() } else { all.join(", ") }
        });
        let unseen = match self.queue {
            Some(queue) if queue.is_beanstalkd() => {
                format!("of {} at most, explained by: {unseen_by}", self.most_unseen)
            }
            _ => "of workers that died before it".to_owned(),
        };
        let queue = self.queue.map_or_else(String::new, |queue| format!("{queue:?}").to_lowercase());
        let rows = [
            ("queue", format!("{queue}, seed {}", self.seed)),
            ("processes", format!("{} producers, {} workers of 4 lanes", self.producers, self.workers)),
            ("time", format!("{} s of kills, then {} s until all was done", self.seconds, self.drained_in)),
            (
                "killed",
                format!("{workers} workers, {producers} producers, {servers} servers; {aborts} workers by a job"),
            ),
            ("besides", format!("{pauses} workers stood still for longer than their leases, {stops} were told to end")),
            (
                "published",
                format!(
                    "{} jobs, {} of them by other jobs; {} perhaps, {} refused",
                    self.published + self.follow_ups,
                    self.follow_ups,
                    self.perhaps_published,
                    self.refused
                ),
            ),
            ("runs", format!("{}, of which {} were cut off", self.runs, self.cut_off)),
            ("done", self.done.to_string()),
            ("buried", self.buried.to_string()),
            ("lost", self.lost.to_string()),
            ("stranded", self.stranded.to_string()),
            ("extra runs", format!("{}, explained by: {explained}", self.extra_runs)),
            ("attempts", format!("{} wrong; {} without a run, {unseen}", self.attempts_wrong, self.unseen)),
            ("violations", self.violations.len().to_string()),
        ];
        let mut table = String::new();
        if self.queue == Some(scene::Kind::Spool) {
            let _ = writeln!(table, "{:<11} {} messages, by the spool", "sent again", self.sent_again);
        }
        for (name, value) in rows {
            let _ = writeln!(table, "{name:<11} {value}");
        }
        for Violation { key, what, way } in &self.violations {
            let _ = writeln!(table, "\n{}: {what}", key.as_deref().unwrap_or("processes"));
            for line in way {
                let _ = writeln!(table, "    {line}");
            }
        }
        if let Some(folder) = &self.folder {
            let _ = writeln!(table, "\nthe ledger and the logs are in {}", folder.display());
        }
        table.trim_end().to_owned()
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::WorkerDied => "by a worker that died",
            Self::WorkerStopped => "by one that was told to end",
            Self::ServerKilled => "by a killed server",
            Self::WorkerStoodStill => "by a worker that stood still",
            Self::SentAgain => "by the spool, which sent it twice",
        })
    }
}
