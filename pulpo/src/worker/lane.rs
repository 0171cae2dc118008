//! The path of one job: dequeue, decode, run, decide, carry out.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::Span;

use super::call;
use super::in_flight::{InFlight, InFlightJob};
use super::limits::Permits;
use super::outage::OutageBackoff;
use super::resolved::ResolvedHandler;
use super::shared::Shared;
use super::slot::InFlightSlot;
use super::waker::nanos;
use crate::context::{Cancellation, Context, LatestProgress, Limited, Produced, RunInfo};
use crate::disposition::{AttemptState, Disposition, RunEnd, Served, before_run, untimely};
use crate::message::{Header, Incoming, MessageError, MessageId};
use crate::policy::Policy;
use crate::queue::{Consumer, Delivery};
use crate::report::{chain, limited};

/// How far a message got in its lane.
pub(super) enum Processed {
    /// Its run ended, or could not begin.
    Ended(RunEnd),
    /// It does not run; this is the decision about it.
    Decided(Disposition),
}

/// One thread of a worker, which runs one job at a time.
pub(super) struct Lane {
    pub(super) shared: Arc<Shared>,
    pub(super) slot: Arc<InFlightSlot<InFlight>>,
    /// Present between two jobs; in the slot during one.
    pub(super) consumer: Option<Box<dyn Consumer>>,
    /// Taken together with a batch that is done by now.
    pub(super) pending: Option<Delivery>,
    outage: OutageBackoff,
    pub(super) cancellation: Arc<Cancellation>,
    pub(super) progress: Arc<LatestProgress>,
    /// The number of waits in a row without a message.
    pub(super) empty: Arc<AtomicU64>,
    /// When it last called its queue, in nanoseconds of uptime.
    pub(super) last_seen: Arc<AtomicU64>,
    /// The span of the job in hand, so that each log line can be attributed to it.
    pub(super) span: Span,
    /// The permits for limited jobs. They are released when the handler has returned, even after a timeout.
    pub(super) permits: Permits,
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>, consumer: Box<dyn Consumer>) -> Self {
        let last_seen = Arc::new(AtomicU64::new(nanos(shared.clock.uptime())));
        Self {
            shared,
            slot: Arc::default(),
            consumer: Some(consumer),
            pending: None,
            outage: OutageBackoff::default(),
            cancellation: Arc::default(),
            progress: Arc::default(),
            empty: Arc::default(),
            last_seen,
            span: Span::none(),
            permits: Permits::default(),
        }
    }

    /// Takes and runs messages until the worker stops, or the monitor has taken the job of this lane away.
    pub(super) fn work(mut self) {
        while self.pending.is_some() || !self.shared.stop.requested() {
            let Some(delivery) = self.pending.take().or_else(|| self.next()) else { continue };
            self.empty.store(0, Ordering::SeqCst);
            self.process(delivery);
            if self.consumer.is_none() {
                return;
            }
        }
        self.flush();
    }

    /// Has the queue carry out deferred commits, and take back messages that no lane takes.
    pub(super) fn flush(&mut self) {
        let Some(consumer) = self.consumer.as_mut() else { return };
        let mut outage = OutageBackoff::default();
        while let Err(error) = consumer.flush() {
            if !outage.is_on() {
                tracing::error!(error = chain(&error), "cannot settle the last jobs, trying again");
            }
            if !error.is_transient() || self.shared.stop.at_once() {
                break;
            }
            outage.wait(&self.shared.stop, &*self.shared.clock);
        }
        self.shared.record_lost(consumer.take_lost_leases());
    }

    /// Returns the next message; `None` if there was none, or the queue cannot be reached.
    fn next(&mut self) -> Option<Delivery> {
        let Shared { clock, stop, options, .. } = &*self.shared;
        let started = clock.uptime();
        let mut uptime = started;
        let consumer = self.consumer.as_mut()?;
        loop {
            self.last_seen.store(nanos(uptime), Ordering::Relaxed);
            let wait = options.sleep_duration.saturating_sub(uptime.saturating_sub(started));
            let found = if self.shared.limits.is_empty() {
                consumer.dequeue(&self.shared.filter(), wait)
            } else {
                let _waiter = self.permits.acquire(&self.shared.limits);
                consumer.dequeue(&self.permits.filter(self.shared.filter()), wait)
            };
            match found {
                Ok(found) => {
                    self.shared.record_lost(consumer.take_lost_leases());
                    self.shared.outage_is_over(&mut self.outage);
                    if found.is_some() || stop.requested() {
                        return found;
                    }
                }
                Err(error) => {
                    self.permits = Permits::default();
                    self.shared.report_outage(&self.outage, &error);
                    self.outage.wait(stop, &**clock);
                    return None;
                }
            }
            // A queue may return earlier than asked without a message.
            uptime = clock.uptime();
            if uptime.saturating_sub(started) >= options.sleep_duration {
                self.empty.fetch_add(1, Ordering::SeqCst);
                self.end_if_idle();
                return None;
            }
        }
    }

    /// Ends the worker if every lane has been idle for long enough.
    fn end_if_idle(&self) {
        let limit = self.shared.options.shutdown_after_number_of_empty_iterations;
        if limit > 0 && self.shared.crew.is_idle(limit) {
            self.shared.stop.gently();
        }
    }

    /// Processes a message completely: reads it, runs its handler and settles it. If its handler takes batches, it is
    /// processed together with others.
    pub(super) fn process(&mut self, mut delivery: Delivery) {
        let text = std::mem::take(&mut delivery.text);
        let message = Incoming::read(&text);
        let resolved =
            message.as_ref().ok().and_then(|message| self.shared.resolved.get(message.header.request_type()));
        let handler = resolved.as_deref().map(|resolved| resolved.handler);
        let has_permits = self.permits.release_unneeded(&delivery.queue, handler);
        if let Some((resolved, batch)) =
            resolved.as_deref().and_then(|one| Some((one, one.batch?))).filter(|_| has_permits)
        {
            drop(message);
            return self.process_batch(Delivery { text, ..delivery }, resolved, &batch);
        }
        let started = self.shared.clock.uptime();
        self.enter_slot(&mut delivery, message.as_ref().ok(), resolved.as_deref(), started);
        let mut produced = Produced::default();
        let processed = if self.shared.stop.requested() {
            // It arrived while the worker was being stopped.
            Processed::Ended(RunEnd::ShutDown)
        } else if has_permits {
            self.run(message, resolved.as_deref(), delivery, &mut produced)
        } else {
            Processed::Decided(over_limit())
        };
        let took = self.shared.clock.uptime().saturating_sub(started);
        self.settle(processed, produced, took);
    }

    /// Calls the handler of the message in the slot, if there is one and it is to run now.
    fn run(
        &self,
        message: Result<Incoming<'_>, MessageError>,
        resolved: Option<&ResolvedHandler>,
        delivery: Delivery,
        produced: &mut Produced,
    ) -> Processed {
        let message = match message {
            Ok(message) => message,
            Err(error) => return Processed::Ended(RunEnd::Unreadable(error)),
        };
        let Some(resolved) = resolved else {
            return self.ask(untimely).map_or_else(|| Processed::Ended(self.unknown(&message)), Processed::Decided);
        };
        if let Some(disposition) = self.ask(before_run) {
            return Processed::Decided(disposition);
        }
        let (body, grace) = (message.body(), self.shared.options.unknown_type_grace);
        let failed = delivery.failed(resolved.policy.max_attempts);
        let context = self.context(delivery.lease.id, failed, message, resolved);
        self.begin();
        let end = self.span.in_scope(|| {
            let end = call::one(resolved.handler, body, &context, grace);
            self.shared.end_fork();
            end
        });
        *produced = context.into_produced();
        Processed::Ended(end)
    }

    /// Returns the context for the handler of this run.
    pub(super) fn context(
        &self,
        id: MessageId,
        failed: u32,
        message: Incoming<'_>,
        resolved: &ResolvedHandler,
    ) -> Context {
        let timeout_at = self.with_slot(|held| held.as_ref()?.running.timeout.map(|(at, _)| at));
        // Whatever the producer wrote there: only the queue counts attempts.
        let limited = Limited {
            request_type: Some(resolved.handler.request_type()),
            aliases: resolved.handler.aliases(),
            keys: resolved.handler.limit_keys().map(|keys| (keys, message.body().to_owned())),
        };
        let header = Header { attempts: failed, ..message.header };
        let info = RunInfo {
            id,
            header,
            attempt: failed.saturating_add(1),
            max_attempts: resolved.policy.max_attempts,
            timeout_at,
            progress: self.progress.clone(),
            limited,
        };
        Context::new(self.shared.env.clone(), self.cancellation.clone(), info)
    }

    /// Puts the consumer into the slot, within reach of the monitor, which keeps the lease alive from now on.
    fn enter_slot(
        &mut self,
        delivery: &mut Delivery,
        message: Option<&Incoming<'_>>,
        resolved: Option<&ResolvedHandler>,
        uptime: Duration,
    ) {
        let Some(consumer) = self.consumer.take() else { return };
        self.reset_run();
        let queue = std::mem::take(&mut delivery.queue);
        let mut running = self.running(delivery, queue, message, resolved, uptime);
        self.span = running.open_span(1);
        let timeout = running.attempt.policy.timeout;
        running.timeout = timeout.map(|limit| (uptime.saturating_add(limit), limit));
        let progress = self.progress.clone();
        self.hand_to_monitor(InFlight { consumer, running, others: VecDeque::new(), progress });
    }

    /// Forgets what the run before left.
    pub(super) fn reset_run(&self) {
        self.cancellation.reset();
        self.progress.reset();
    }

    /// Hands the jobs to the monitor, which keeps their leases alive from now on.
    pub(super) fn hand_to_monitor(&self, held: InFlight) {
        let next = held.next();
        self.with_slot(|slot| *slot = Some(held));
        self.shared.monitor.wake_by(next);
    }

    /// Locks the slot for a moment; it contains `None` if the monitor has taken the job.
    pub(super) fn with_slot<R>(&self, action: impl FnOnce(&mut Option<InFlight>) -> R) -> R {
        self.slot.with(&self.shared.monitor, action)
    }

    /// Collects everything that settling this message will need.
    pub(super) fn running(
        &self,
        delivery: &Delivery,
        queue: String,
        message: Option<&Incoming<'_>>,
        resolved: Option<&ResolvedHandler>,
        uptime: Duration,
    ) -> InFlightJob {
        let policy = resolved.map_or(Policy::DEFAULT, |resolved| resolved.policy.clone());
        let metrics = resolved.map_or(&self.shared.resolved.unknown, |resolved| &resolved.metrics);
        let failed = delivery.failed(policy.max_attempts);
        // A kick also ends the delay.
        let now = self.shared.clock.now();
        let delay = message.and_then(|message| message.header.delay());
        let delay = delay.filter(|delay| delivery.kicks == 0 || *delay <= now);
        let attempt = AttemptState {
            failed,
            policy,
            lost: delivery.abandoned.min(failed),
            maybe_begun: delivery.maybe_begun,
            left_since: delivery.left_since,
            served: Served::Never,
            delay,
            expiration: message.and_then(|message| message.header.expiration()),
            cancelled: false,
            now,
            jitter: 0.0,
            stopping: false,
        };
        let mut running =
            InFlightJob::new(delivery, queue, uptime, attempt, self.cancellation.clone(), metrics.clone());
        if let Some(message) = message {
            let unknown = || Cow::Owned(limited(message.header.request_type().to_owned()));
            running.request_type = resolved.map_or_else(unknown, |resolved| Cow::Borrowed(resolved.name));
            running.traceparent = message.header.traceparent().map(str::to_owned);
        }
        running
    }

    /// Records that the handler is called now.
    pub(super) fn begin(&self) {
        let now = self.shared.clock.now();
        self.with_slot(|held| held.as_mut().map(|held| held.begin(now)));
    }

    /// Applies a rule to the message in the slot.
    fn ask(&self, rule: fn(&AttemptState) -> Option<Disposition>) -> Option<Disposition> {
        let now = self.shared.clock.now();
        self.with_slot(|held| rule(held.as_mut()?.running.attempt_at(now, false)))
    }

    fn unknown(&self, message: &Incoming<'_>) -> RunEnd {
        RunEnd::UnknownType {
            request_type: message.header.request_type().to_owned(),
            known: self.shared.registry.known(),
            grace: self.shared.options.unknown_type_grace,
        }
    }
}

impl Drop for Lane {
    /// Runs even if a bug of ours panics: the monitor then starts another lane.
    fn drop(&mut self) {
        if self.outage.is_on() {
            self.shared.lanes_in_outage.fetch_sub(1, Ordering::SeqCst);
        }
        // First: whoever sees that this lane has ended may close the queue.
        self.consumer = None;
        self.slot.end();
        self.shared.monitor.wake();
    }
}

/// Returns the disposition of a message that its queue handed out although its limit is full. That happens if it was
/// put into another queue than its handler's, and the queue cannot select by type.
fn over_limit() -> Disposition {
    Disposition::Rollback { delay: Duration::from_secs(1), reason: "its limit is reached".to_owned(), counted: false }
}
