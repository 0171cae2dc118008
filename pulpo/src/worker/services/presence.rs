//! Shows the worker to others, and follows its long runs: stores their progress, and learns which of them a person has
//! cancelled.
//!
//! Only runs that existed in the previous round are followed, so a worker with short jobs sends nothing. The slots of
//! the lanes are read without waiting: a lane that holds its own is checked in the next round.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::service::Service;
use crate::context::LatestProgress;
use crate::process::host;
use crate::queue::{Lease, LongRun, WorkerReport};
use crate::registry::Handler;
use crate::report::chain;
use crate::shape::CAN_TRACE;
use crate::worker::in_flight::InFlight;
use crate::worker::shared::Shared;
use crate::worker::slot::InFlightSlot;

/// How often to check the runs.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// The minimum time between two writes of progress.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// How often the worker reports itself again, in case the queue has forgotten it.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// The maximum number of handlers that are traced per round.
const TRACED_PER_CHECK: usize = 20;

/// Numbers that distinguish the workers of a process.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

pub(in crate::worker) struct Presence {
    shared: Arc<Shared>,
    number: u64,
    report: WorkerReport,
    /// The handlers whose shapes are not in the report yet.
    to_trace: Vec<&'static Handler>,
    report_at: Duration,
    keep_at: Duration,
    /// The runs of the previous round.
    before: HashSet<Arc<str>>,
    in_outage: bool,
}

/// A long run.
struct Followed {
    slot: Arc<InFlightSlot<InFlight>>,
    lease: Lease,
    /// The progress reported by the first message of a batch, if it is new.
    news: Option<(Arc<LatestProgress>, u64)>,
}

impl Presence {
    /// Creates the service; `None` if the queue does not record workers.
    pub(in crate::worker) fn of(shared: &Arc<Shared>) -> Option<Self> {
        shared.queue.workers()?;
        let (program, program_version) = shared.program.clone();
        let names = shared
            .registry
            .iter()
            .flat_map(|handler| std::iter::once(handler.request_type()).chain(handler.aliases().iter().copied()));
        let mut types: Vec<_> = names.map(str::to_owned).collect();
        types.sort_unstable();
        let report = WorkerReport {
            host: host::name(),
            pid: std::process::id(),
            program,
            program_version,
            pulpo_version: env!("CARGO_PKG_VERSION").to_owned(),
            since: shared.clock.now(),
            queues: shared.queues.clone(),
            lanes: shared.options.concurrency.max(1),
            types,
            shapes: BTreeMap::new(),
        };
        Some(Self {
            shared: shared.clone(),
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            report,
            to_trace: if CAN_TRACE { shared.registry.iter().collect() } else { Vec::new() },
            report_at: Duration::ZERO,
            keep_at: Duration::ZERO,
            before: HashSet::new(),
            in_outage: false,
        })
    }

    /// Traces some more handlers, apart from the start of the worker, which must not take long. Reports them once all
    /// are traced.
    fn trace(&mut self) {
        if self.to_trace.is_empty() {
            return;
        }
        let rest = self.to_trace.split_off(self.to_trace.len().min(TRACED_PER_CHECK));
        for handler in std::mem::replace(&mut self.to_trace, rest) {
            let shape = handler.shape().to_string();
            let names = std::iter::once(handler.request_type()).chain(handler.aliases().iter().copied());
            self.report.shapes.extend(names.map(|name| (name.to_owned(), shape.clone())));
        }
        if self.to_trace.is_empty() {
            self.report_at = Duration::ZERO;
        }
    }

    fn show(&mut self, uptime: Duration) {
        if uptime < self.report_at {
            return;
        }
        let Some(workers) = self.shared.queue.workers() else { return };
        match workers.report_worker(self.number, &self.report) {
            Ok(()) => self.report_at = uptime.saturating_add(REPORT_EVERY),
            Err(error) => {
                tracing::debug!(error = chain(&error), "cannot register this worker with the queue, trying again")
            }
        }
    }

    /// Returns the runs that existed in the previous round, in the form for the queue.
    fn long_runs(&mut self, may_keep: bool) -> (Vec<Followed>, Vec<LongRun>) {
        let (mut followed, mut runs) = (Vec::new(), Vec::new());
        let mut now = HashSet::new();
        for lane in self.shared.crew.lanes() {
            lane.slot.try_with(&self.shared.monitor, |held| {
                let Some(held) = held else { return };
                let mut progress = Some(&held.progress);
                for job in held.running() {
                    let progress = progress.take();
                    let key: Arc<str> = format!("{} {}", job.lease.id, job.lease.token).into();
                    let lasts = self.before.contains(&key);
                    now.insert(key);
                    if !lasts {
                        continue;
                    }
                    let news = progress.filter(|_| may_keep).and_then(|progress| {
                        let (number, said) = progress.news()?;
                        Some((progress.clone(), number, said))
                    });
                    if job.attempt.cancelled && news.is_none() {
                        continue;
                    }
                    let mut run = LongRun::new(job.lease.clone());
                    let news = news.map(|(progress, number, said)| {
                        run.progress = Some(said);
                        (progress, number)
                    });
                    runs.push(run);
                    followed.push(Followed { slot: lane.slot.clone(), lease: job.lease.clone(), news });
                }
            });
        }
        self.before = now;
        (followed, runs)
    }

    fn follow(&mut self, uptime: Duration) {
        let (followed, runs) = self.long_runs(uptime >= self.keep_at);
        let Some(workers) = self.shared.queue.workers().filter(|_| !runs.is_empty()) else { return };
        match workers.follow_runs(&runs) {
            Ok(cancelled) => {
                self.in_outage = false;
                let news: Vec<_> = followed.iter().filter_map(|run| run.news.as_ref()).collect();
                if !news.is_empty() {
                    self.keep_at = uptime.saturating_add(KEEP_EVERY);
                }
                news.into_iter().for_each(|(progress, number)| progress.is_kept(*number));
                for lease in cancelled {
                    let Some(run) = followed.iter().find(|run| run.lease == lease) else { continue };
                    tracing::info!(id = %lease.id, "a running job was cancelled: notifying its handler");
                    run.slot.try_with(&self.shared.monitor, |held| held.as_mut().map(|held| held.cancel(&lease)));
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.in_outage, true) {
                    let error = chain(&error);
                    tracing::warn!(error, "cannot check whether running jobs are cancelled, trying again");
                }
            }
        }
    }
}

impl Service for Presence {
    fn name(&self) -> &'static str {
        "pulpo-presence"
    }

    fn run_due(&mut self) -> Duration {
        let uptime = self.shared.clock.uptime();
        self.trace();
        self.show(uptime);
        self.follow(uptime);
        CHECK_INTERVAL
    }

    /// Running jobs can be cancelled while the worker waits for them to end.
    fn outlives_stop(&self) -> bool {
        true
    }

    fn end(&mut self) {
        let removed = self.shared.queue.workers().map_or(Ok(()), |workers| workers.remove_worker(self.number));
        if let Err(error) = removed {
            tracing::debug!(error = chain(&error), "cannot unregister this worker: others will notice");
        }
    }
}
