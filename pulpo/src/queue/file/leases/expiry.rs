//! Decides which expired leases to end. A lease may seem to have expired although its worker had no chance to renew it:
//! the wall clock was set forward, the machine slept, or nothing could be written for a while.
//!
//! Such leases are spared for another two thirds of their ttr, which is two heartbeats: a live worker renews its own in
//! that time. Each process notices these events independently, by the monotonic clock. After a jump back, no lease may
//! last longer than a ttr from now on, so that the message of a dead worker is not kept for the time by which the clock
//! went back.

use std::path::Path;
use std::sync::Mutex;

use rusqlite::{Connection, params};

use super::lease::LeaseEnder;
use super::process_lock::ProcessLock;
use crate::clock::Clock;
use crate::queue::MessageState;
use crate::queue::file::counts::Changes;
use crate::queue::file::storage::values::{Ids, json};
use crate::sync::lock;

/// Smaller steps of the clock are corrections by a time server, not jumps.
const STEP: i64 = 1_000_000;

/// Shorter outages of writing keep no worker from renewing.
const OUTAGE: i64 = 100_000;

/// The minimum time between two extensions of the sparing while every write has to wait. Without it, the leases of dead
/// workers would never end.
const SPARE_AGAIN: i64 = 2_000_000;

/// How long to wait before spared leases are checked again.
pub(in crate::queue::file) const SPARED: i64 = 1_000_000;

#[derive(Debug, Default)]
pub(in crate::queue::file) struct LeaseExpiry(Mutex<Inner>);

/// All times are in microseconds.
#[derive(Debug, Default)]
struct Inner {
    /// The time of day minus the uptime, as last seen; `None` before the first time.
    offset: Option<i64>,
    failing_since: Option<ClockReading>,
    /// Whether all leases that last too long have been shortened since the clock went back, or since this process
    /// started.
    shortened: bool,
    spared: Option<Spared>,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::queue::file) struct ClockReading {
    now: i64,
    uptime: i64,
}

impl ClockReading {
    pub(in crate::queue::file) fn of(clock: &dyn Clock) -> Self {
        let uptime = i64::try_from(clock.uptime().as_micros()).unwrap_or(i64::MAX);
        Self { now: crate::queue::file::storage::values::micros(clock.now()), uptime }
    }
}

#[derive(Clone, Copy, Debug)]
struct Spared {
    /// Spares leases that ended after this time of day.
    ended_after: i64,
    /// When the sparing began, in uptime.
    since: i64,
}

/// Which leases to end.
#[derive(Clone, Copy, Debug)]
pub(in crate::queue::file) struct Expiry {
    now: i64,
    /// Leases that ended before this time are ended immediately.
    at_once: i64,
    /// Later ones are ended once two thirds of their ttr fit into this time.
    spared_for: i64,
    /// Whether the clock went back, or may have done so before this process started.
    shorten: bool,
}

impl LeaseExpiry {
    /// Returns which leases may be ended now, by a write that was requested at `asked`: another process that was
    /// suspended in the middle of a write may have kept all others waiting.
    pub(in crate::queue::file) fn evaluate(&self, asked: ClockReading, clock: &dyn Clock) -> Expiry {
        let at = ClockReading::of(clock);
        let mut inner = lock(&self.0);
        let offset = at.now.saturating_sub(at.uptime);
        let jump = inner.offset.map(|before| offset.saturating_sub(before));
        // A clock that runs a little fast or slow must not add up to a jump.
        inner.offset = Some(offset);
        if let Some(jump) = jump.filter(|jump| *jump > STEP) {
            inner.spare(at.now.saturating_sub(jump), at);
        }
        inner.spare_what_could_not_be_renewed(at);
        inner.spare_while_all_waited(asked, at);
        let (at_once, spared_for) = match inner.spared {
            Some(spared) => (spared.ended_after.min(at.now), at.uptime.saturating_sub(spared.since)),
            None => (at.now, 0),
        };
        if jump.is_some_and(|jump| jump < -STEP) {
            inner.shortened = false;
        }
        Expiry { now: at.now, at_once, spared_for, shorten: !inner.shortened }
    }

    /// Records that no lease lasts too long.
    fn shortened(&self) {
        lock(&self.0).shortened = true;
    }

    /// Records that a write failed.
    pub(in crate::queue::file) fn failed(&self, clock: &dyn Clock) {
        let at = ClockReading::of(clock);
        lock(&self.0).failing_since.get_or_insert(at);
    }

    /// Records that a write succeeded.
    pub(in crate::queue::file) fn succeeded(&self, clock: &dyn Clock) {
        if lock(&self.0).failing_since.is_none() {
            return;
        }
        let at = ClockReading::of(clock);
        let mut inner = lock(&self.0);
        inner.spare_what_could_not_be_renewed(at);
        inner.failing_since = None;
    }
}

impl Inner {
    /// From now on, spares the leases that ended after this time of day, and those that are spared already: their
    /// workers may have had no chance between the two events either.
    fn spare(&mut self, ended_after: i64, at: ClockReading) {
        let before = self.spared.map_or(ended_after, |spared| spared.ended_after);
        self.spared = Some(Spared { ended_after: ended_after.min(before), since: at.uptime });
    }

    fn spare_what_could_not_be_renewed(&mut self, at: ClockReading) {
        if let Some(since) = self.failing_since.filter(|since| at.uptime.saturating_sub(since.uptime) >= OUTAGE) {
            self.spare(since.now, at);
        }
    }

    fn spare_while_all_waited(&mut self, asked: ClockReading, at: ClockReading) {
        let waited = at.uptime.saturating_sub(asked.uptime) >= OUTAGE;
        if waited && self.spared.is_none_or(|spared| at.uptime.saturating_sub(spared.since) >= SPARE_AGAIN) {
            self.spare(asked.now, at);
        }
    }
}

impl Expiry {
    pub(in crate::queue::file) fn now(&self) -> i64 {
        self.now
    }

    /// Makes delayed messages ready that are due, and ends expired leases, a bounded number of each, so that no other
    /// process waits long. The next transaction continues with the rest. Returns whether more delays may be over.
    pub(in crate::queue::file) fn apply(
        &self,
        lease_expiry: &LeaseExpiry,
        connection: &Connection,
        us: &ProcessLock,
        base_path: Option<&Path>,
    ) -> rusqlite::Result<bool> {
        let next = NextWaits::of(connection)?;
        let is_more = next.due.is_some_and(|due| due <= self.now) && end_delays(connection, self.now)?;
        if next.lease_ends.is_some_and(|ends| ends <= self.now) {
            let silent = connection
                .prepare_cached(
                    "SELECT id, lease FROM message
                     WHERE lease_ends <= ?1 AND (lease_ends <= ?2 OR ttr * 1000 / 3 * 2 <= ?3)
                     ORDER BY lease_ends LIMIT ?4",
                )?
                .query_map([self.now, self.at_once, self.spared_for, AT_ONCE.into()], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?
                .collect::<rusqlite::Result<Vec<(i64, String)>>>()?;
            let mut ending = LeaseEnder::new(connection, us, base_path, self.now);
            silent.iter().try_for_each(|(id, token)| ending.end(*id, token))?;
            ending.finish()?;
        }
        if self.shorten {
            let shortened = connection
                .prepare_cached(
                    "UPDATE message SET lease_ends = ?1 + ttr * 1000 WHERE id IN
                        (SELECT id FROM message WHERE lease_ends > ?1 + ?2 AND lease_ends > ?1 + ttr * 1000 + ?2
                         LIMIT ?3)",
                )?
                .execute(params![self.now, STEP, AT_ONCE])?;
            if shortened < usize::from(AT_ONCE) {
                lease_expiry.shortened();
            }
        }
        Ok(is_more)
    }
}

/// Makes a bounded number of delayed messages ready that are due. Returns whether there may be more.
pub(in crate::queue::file) fn end_delays(connection: &Connection, now: i64) -> rusqlite::Result<bool> {
    let mut counts = Changes::default();
    let due = connection
        .prepare_cached("SELECT id, kind FROM message WHERE due <= ?1 ORDER BY due LIMIT ?2")?
        .query_map([now, DUE_AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(i64, i64)>>>()?;
    for (_, kind) in &due {
        counts.remove(*kind, MessageState::Delayed);
        counts.add(*kind, MessageState::Ready);
    }
    let ids: Vec<_> = due.into_iter().map(|(id, _)| id).collect();
    Ids::split(&ids).iter().try_for_each(|ids| make_ready(connection, ids))?;
    counts.write(connection)?;
    Ok(ids.len() as i64 == DUE_AT_ONCE)
}

/// Makes these delayed messages ready.
fn make_ready(connection: &Connection, ids: &Ids) -> rusqlite::Result<()> {
    match ids {
        Ids::Range(first, last) => connection
            .prepare_cached("UPDATE message SET state = 0, since = due, due = NULL WHERE id BETWEEN ?1 AND ?2")?
            .execute([first, last]),
        Ids::List(ids) => connection
            .prepare_cached(
                "UPDATE message SET state = 0, since = due, due = NULL
                 WHERE id IN (SELECT value FROM json_each(?1))",
            )?
            .execute([json(ids)]),
    }
    .map(drop)
}

/// The maximum number of leases to end in one transaction.
pub(in crate::queue::file) const AT_ONCE: u16 = 1000;

/// The maximum number of delays to end in one transaction: it takes part of the time in which a publisher waits, and
/// no lane takes more at once.
const DUE_AT_ONCE: i64 = 500;

/// When the first delay and the first lease end.
#[derive(Clone, Copy, Debug)]
pub(in crate::queue::file) struct NextWaits {
    due: Option<i64>,
    lease_ends: Option<i64>,
}

impl NextWaits {
    pub(in crate::queue::file) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        connection
            .prepare_cached(
                "SELECT (SELECT min(due) FROM message WHERE due IS NOT NULL),
                    (SELECT min(lease_ends) FROM message WHERE lease_ends IS NOT NULL)",
            )?
            .query_row([], |row| Ok(Self { due: row.get(0)?, lease_ends: row.get(1)? }))
    }

    /// Returns the earlier of the two.
    pub(in crate::queue::file) fn first(self) -> Option<i64> {
        self.due.into_iter().chain(self.lease_ends).min()
    }

    /// Returns when to check again after those that were over have been ended.
    pub(in crate::queue::file) fn next_check(self, now: i64) -> Option<i64> {
        // A lease that is over and was not ended is spared; a delay that is over was left for the next transaction.
        let lease_ends = self.lease_ends.map(|ends| if ends > now { ends } else { now + SPARED });
        self.due.into_iter().chain(lease_ends).min()
    }
}
