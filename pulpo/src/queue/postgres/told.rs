//! The notifications of publications to other processes: when the next one is
//! sent, and for which queues.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_postgres::types::Type;

use super::connection::{Connection, Sql};
use super::error::PostgresError;

/// The shortest time between two notifications of this process, with few and with
/// many others: PostgreSQL lets only one transaction at a time commit with a
/// notification, and each one wakes all processes that listen.
const TELL_EVERY: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// A notification holds eight thousand bytes.
const LONGEST_PAYLOAD: usize = 7000;

/// Returns the number of worker processes, too.
const TELL: Sql =
    "SELECT (SELECT count(*) FROM SCHEMA.worker), set_config('synchronous_commit', 'off', true), pg_notify($1, $2)";

/// The notifications that were sent, and those that wait.
#[derive(Debug, Default)]
pub(super) struct Told {
    at: Option<Duration>,
    /// The number of worker processes at that time.
    workers: u64,
    /// The queues whose notifications wait for their time.
    waiting: BTreeSet<String>,
}

/// The next step of a thread that has published.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tell {
    /// It notifies the workers of these queues.
    Now(BTreeSet<String>),
    /// It wakes the thread of the heartbeat, which does that at the right time.
    Wake,
    /// The thread of the heartbeat knows already.
    Later,
}

impl Told {
    /// Adds the queues of a publication.
    pub(super) fn add(&mut self, queues: BTreeSet<String>, now: Duration) -> Tell {
        let others_wait = !self.waiting.is_empty();
        self.waiting.extend(queues);
        // A process that publishes often leaves it to the thread of the heartbeat.
        if self.at.is_none_or(|at| now.saturating_sub(at) >= TELL_EVERY.1) {
            self.at = Some(now);
            return Tell::Now(self.take());
        }
        // Waking it for each publication would cost as much as half a publication.
        if others_wait { Tell::Later } else { Tell::Wake }
    }

    /// Returns the queues whose time has come, or how long until then; `None` if no
    /// queue waits.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<Result<BTreeSet<String>, Duration>> {
        if self.waiting.is_empty() {
            return None;
        }
        let left = self.left(now);
        if !left.is_zero() {
            return Some(Err(left));
        }
        self.at = Some(now);
        Some(Ok(self.take()))
    }

    /// Returns the queues that wait.
    pub(super) fn take(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.waiting)
    }

    /// Records how many worker processes there are.
    pub(super) fn have_seen(&mut self, workers: u64) {
        self.workers = workers;
    }

    /// Returns the time until the next notification. In milliseconds it is the square
    /// of the number of processes, so that all together wake each other about a
    /// thousand times a second, however many they are. Without any there is no worker to
    /// wake, and one that starts looks at its queues anyway.
    fn left(&self, now: Duration) -> Duration {
        let every = match self.workers {
            0 => TELL_EVERY.1,
            workers => Duration::from_millis(workers.saturating_mul(workers)).clamp(TELL_EVERY.0, TELL_EVERY.1),
        };
        self.at.map_or(Duration::ZERO, |at| (at + every).saturating_sub(now))
    }
}

/// Notifies the workers of these queues on this channel, and returns the number of
/// worker processes.
pub(super) fn send(
    connection: &mut Connection,
    channel: &str,
    queues: &BTreeSet<String>,
) -> Result<u64, PostgresError> {
    // An empty one means all queues.
    let mut payload = queues.iter().map(String::as_str).collect::<Vec<_>>().join("\n");
    if payload.len() > LONGEST_PAYLOAD || queues.contains("") {
        payload.clear();
    }
    let rows = connection.run(TELL, &[(&channel, Type::TEXT), (&payload, Type::TEXT)])?;
    let workers = rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0))?;
    Ok(u64::try_from(workers).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail() -> BTreeSet<String> {
        BTreeSet::from(["mail".to_owned()])
    }

    #[test]
    fn few_processes_notify_often_and_many_seldom() {
        let left = |workers| {
            let told = Told { at: Some(Duration::from_secs(7)), workers, waiting: BTreeSet::new() };
            told.left(Duration::from_secs(7)).as_millis()
        };
        assert_eq!([1, 2, 5, 10, 200].map(left), [5, 5, 25, 100, 100]);
        assert_eq!(left(0), 100, "no worker listens");
        assert_eq!(left(u64::MAX), 100);
        assert_eq!(Told::default().left(Duration::ZERO), Duration::ZERO, "the first one is sent at once");
    }

    #[test]
    fn of_many_publications_one_wakes_the_thread_that_notifies() {
        let ms = |ms| Duration::from_secs(7) + Duration::from_millis(ms);
        let mut told = Told { workers: 3, ..Told::default() };
        assert_eq!(told.add(mail(), ms(0)), Tell::Now(mail()));
        assert_eq!(told.take_due(ms(0)), None);
        assert_eq!(told.add(mail(), ms(1)), Tell::Wake);
        assert_eq!(told.add(mail(), ms(2)), Tell::Later);
        assert_eq!(told.add(BTreeSet::from(["other".to_owned()]), ms(3)), Tell::Later);
        assert_eq!(told.take_due(ms(4)), Some(Err(Duration::from_millis(5))));
        let both = BTreeSet::from(["mail".to_owned(), "other".to_owned()]);
        assert_eq!(told.take_due(ms(9)), Some(Ok(both)));
        assert_eq!(told.add(mail(), ms(10)), Tell::Wake, "the thread knows of nothing again");
        assert_eq!(told.add(mail(), ms(200)), Tell::Now(mail()), "if it is late, the publisher does it");
    }
}
