//! The heartbeat thread of a process that takes messages. It shows that the
//! process lives, detects processes that have died, and receives notifications
//! of publications.
//!
//! Every two seconds it increments the `beat` of the process, in one statement
//! that also says whether messages are ready. An idle process sends nothing else.
//!
//! No clocks are compared. A process counts as dead when its beat has stood
//! still for a while during which we could reach the database, and its session
//! is gone, if that is known. So after an outage of the server no process looks
//! dead, and neither does a suspended process: its leases end with their ttr.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tokio_postgres::types::Type;

use super::activity;
use super::claim::{AT_ONCE, END_DEAD, NextWaits, PROMOTE};
use super::connection::{self, Connection, Heard, SocketRuntime, Sql};
use super::error::PostgresError;
use super::shared::Shared;
use crate::clock::Clock as _;
use crate::process::host;
use crate::sync::lock;

mod state;

pub(super) use self::state::{Beat, unregister};

/// The interval between two beats.
const INTERVAL: Duration = Duration::from_secs(2);
/// The interval without notifications, when each beat also polls for messages.
const POLL_INTERVAL: Duration = Duration::from_millis(1250);

/// How long a beat stands still before the session of its process is checked.
const SILENT: Duration = Duration::from_millis(4500);
/// The same behind a pooler, where the session of a process is not known.
const SILENT_BEHIND_POOLER: Duration = Duration::from_secs(12);

/// The pause after an error.
const PAUSE: Duration = Duration::from_millis(500);

/// How many times at most one beat makes a thousand delayed messages ready, and the
/// time after which it stops: others must not take this process for dead.
const PROMOTIONS: usize = 20;
const PROMOTING: Duration = Duration::from_secs(1);

/// Increments our beat. Returns the beats of all others, whether messages are
/// ready in our queues, when the next wait ends, and which programs may go on.
const BEAT: Sql = "WITH lazily AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
    me AS (INSERT INTO SCHEMA.worker AS worker(id, backend_pid, backend_start, host, pid, program)
        SELECT $1, $2, $3, $4, $5, $6 FROM lazily
        ON CONFLICT (id) DO UPDATE SET beat = worker.beat + 1, beat_at = now(),
            backend_pid = excluded.backend_pid, backend_start = excluded.backend_start)
    SELECT seen.ready, seen.oldest_program, seen.due, seen.lease_ends, worker.id, worker.beat,
        worker.backend_pid IS NOT NULL, seen.uncounted
    FROM (SELECT
            EXISTS (SELECT FROM unnest($7::text[]) AS wanted(queue)
                WHERE EXISTS (SELECT FROM SCHEMA.message WHERE state = 0 AND queue = wanted.queue)
                    AND NOT EXISTS (SELECT FROM SCHEMA.pause WHERE queue = wanted.queue AND until > now())) AS ready,
            (SELECT max(oldest_program) FROM SCHEMA.migration) AS oldest_program,
            EXISTS (SELECT FROM SCHEMA.uncounted) AS uncounted,
            extract(epoch FROM (SELECT min(due) FROM SCHEMA.message WHERE state = 1 AND due < 'infinity') - now())::float8
                AS due,
            extract(epoch FROM (SELECT min(lease_ends) FROM SCHEMA.message WHERE state = 2) - now())::float8
                AS lease_ends) AS seen
        LEFT JOIN SCHEMA.worker ON worker.id <> $1";

const SESSION: Sql = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()";

/// Starts the thread, unless it runs already. With consumers it beats, and the process
/// is registered as a worker when this returns.
pub(super) fn run(shared: &Arc<Shared>, with_consumers: bool) -> Result<(), PostgresError> {
    let begins = with_consumers && !shared.beat.has_begun.swap(true, Ordering::SeqCst);
    let mut sender = lock(&shared.beat.sender);
    if let Some(sender) = &*sender {
        if begins {
            let _ = sender.send(Heard::Nudge);
        }
        return Ok(());
    }
    let runtime = Arc::new(connection::runtime()?);
    let (sends, hears) = unbounded_channel();
    *sender = Some(sends.clone());
    drop(sender);
    let mut thread = Thread {
        shared: Arc::downgrade(shared),
        ends: shared.beat.ends.clone(),
        runtime,
        sends,
        hears,
        connection: None,
        session: None,
        others: HashMap::new(),
        next: Duration::ZERO,
        warned: false,
        _thread: shared.threads.clone(),
    };
    if with_consumers {
        // Before the first lease, so that others know its owner.
        thread.beat(shared);
    }
    let spawned = std::thread::Builder::new().name("pulpo-postgres".to_owned()).spawn(move || thread.run());
    spawned.map(drop).map_err(|error| PostgresError::unreachable(format!("cannot start a thread: {error}")))
}

struct Thread {
    shared: Weak<Shared>,
    ends: Arc<AtomicBool>,
    runtime: Arc<SocketRuntime>,
    sends: UnboundedSender<Heard>,
    hears: UnboundedReceiver<Heard>,
    connection: Option<Connection>,
    /// The session of the connection, if it is ours alone.
    session: Option<(i32, DateTime<Utc>)>,
    others: HashMap<String, Other>,
    /// When the next beat is due, in uptime.
    next: Duration,
    warned: bool,
    /// Dropped last: see [`Shared::has_threads`].
    _thread: Arc<()>,
}

/// Another process.
struct Other {
    beat: i64,
    /// Since when it has stood at that number.
    since: Duration,
}

impl Thread {
    fn run(mut self) {
        loop {
            let wait = {
                let Some(shared) = self.shared.upgrade() else { break };
                if self.ends.load(Ordering::SeqCst) {
                    break;
                }
                self.round(&shared)
            };
            let heard = {
                let hears = &mut self.hears;
                self.runtime.block_on(async { timeout(wait, hears.recv()).await })
            };
            let mut heard = heard.ok().flatten();
            while let Some(one) = heard {
                self.hear(one);
                heard = self.hears.try_recv().ok();
            }
        }
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Nudge => {}
            // The next beat registers the new session.
            Heard::Ended => {
                if self.connection.as_ref().is_some_and(Connection::is_broken) {
                    self.connection = None;
                    self.next = Duration::ZERO;
                }
            }
            Heard::Published(queues) => {
                let Some(shared) = self.shared.upgrade() else { return };
                let watched = lock(&shared.watched);
                if queues.is_empty() || queues.lines().any(|queue| watched.contains(queue)) {
                    drop(watched);
                    shared.wake();
                }
            }
        }
    }

    /// Does what is due, and returns the time until something else is.
    fn round(&mut self, shared: &Arc<Shared>) -> Duration {
        let tell = shared.tell_waiting();
        let mut wait = Duration::from_secs(3600);
        if shared.beat.has_begun() {
            let now = shared.real.uptime();
            if now >= self.next {
                self.beat(shared);
            }
            wait = self.next.saturating_sub(shared.real.uptime());
        }
        let counted = shared.write_activity_when_due();
        tell.into_iter().chain(counted).fold(wait, Duration::min)
    }

    fn beat(&mut self, shared: &Arc<Shared>) {
        let beaten = self.try_beat(shared);
        shared.note(beaten.as_ref().err());
        let now = shared.real.uptime();
        match beaten {
            Ok(()) => {
                self.warned = false;
                shared.write_routes();
                let interval = if shared.options.notify { INTERVAL } else { POLL_INTERVAL };
                // With jitter, so that processes do not beat at the same moment.
                self.next = now + interval.mul_f64(fastrand::f64().mul_add(0.2, 0.9));
            }
            Err(error) => {
                if !std::mem::replace(&mut self.warned, true) {
                    tracing::warn!(%error, "cannot reach {}: trying again", shared.place);
                }
                self.connection = None;
                // The others could not beat either.
                self.others.clear();
                self.next = now + PAUSE;
            }
        }
    }

    fn try_beat(&mut self, shared: &Arc<Shared>) -> Result<(), PostgresError> {
        if self.connection.as_ref().is_none_or(Connection::is_broken) {
            self.connect(shared)?;
        }
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let watched: Vec<String> = lock(&shared.watched).iter().cloned().collect();
        let (backend_pid, backend_start) = self.session.unzip();
        let (host, pid) = (host::name(), i64::from(std::process::id()));
        let program = env!("CARGO_PKG_VERSION");
        let rows = connection.run(
            BEAT,
            &[
                (&shared.id, Type::TEXT),
                (&backend_pid, Type::INT4),
                (&backend_start, Type::TIMESTAMPTZ),
                (&host, Type::TEXT),
                (&pid, Type::INT8),
                (&program, Type::TEXT),
                (&watched, Type::TEXT_ARRAY),
            ],
        )?;
        let Some(first) = rows.first() else { return Ok(()) };
        let (ready, oldest_program): (bool, Option<i32>) = (first.try_get(0)?, first.try_get(1)?);
        shared.beat.oldest_program.store(oldest_program.unwrap_or_default().into(), Ordering::Relaxed);
        let uncounted: bool = first.try_get(7)?;
        let waits = NextWaits::from_row(first, 2)?;
        let over = |wait: Option<Duration>| wait.is_some_and(|wait| wait.is_zero());
        if ready || over(waits.due) || over(waits.lease_ends) {
            // A lane may have found nothing since: then it is woken for nothing.
            shared.wake();
        }
        if over(waits.due)
            && let Err(error) = end_delays(shared, connection)
        {
            if error.breaks_connection() {
                return Err(error);
            }
            tracing::debug!(%error, "cannot make delayed messages ready, trying again");
        }
        let now = shared.real.uptime();
        let mut seen = HashMap::new();
        let mut silent = Vec::new();
        for row in &rows {
            let Some(id) = row.try_get::<_, Option<String>>(4)? else { continue };
            let beat: i64 = row.try_get(5)?;
            let has_session: bool = row.try_get(6)?;
            let since = self.others.get(&id).filter(|other| other.beat == beat).map_or(now, |other| other.since);
            let limit = if has_session { SILENT } else { SILENT_BEHIND_POOLER };
            if now.saturating_sub(since) >= limit {
                silent.push((id.clone(), beat));
            }
            seen.insert(id, Other { beat, since });
        }
        self.others = seen;
        if uncounted && let Err(error) = activity::add_uncounted(connection) {
            if error.breaks_connection() {
                return Err(error);
            }
            tracing::debug!(%error, "cannot count what SQL has published, trying again");
        }
        for (id, beat) in silent {
            let rows = connection.run(END_DEAD, &[(&id, Type::TEXT), (&beat, Type::INT8)])?;
            let (dead, leases): (i64, i64) =
                rows.first().map_or(Ok((0, 0)), |row| Ok::<_, PostgresError>((row.try_get(0)?, row.try_get(1)?)))?;
            shared.have_failed(&rows, 2)?;
            if dead > 0 {
                self.others.remove(&id);
                if leases > 0 {
                    tracing::warn!(leases, "another process has died: its jobs are ready again");
                    shared.wake();
                }
            }
        }
        Ok(())
    }

    fn connect(&mut self, shared: &Shared) -> Result<(), PostgresError> {
        shared.prepared()?;
        self.session = None;
        let notify = shared.options.notify;
        let hear = notify.then(|| self.sends.clone());
        let mut connection = shared.pool.connector().connect_on(&self.runtime, hear)?;
        if notify {
            connection.run_script(&format!("LISTEN \"{}\"", shared.options.channel()))?;
            let rows = connection.run_text(SESSION, &[])?;
            self.session =
                rows.first().map(|row| Ok::<_, PostgresError>((row.try_get(0)?, row.try_get(1)?))).transpose()?;
            // There may be publications from the time before it listened.
            shared.wake();
        }
        self.connection = Some(connection);
        Ok(())
    }
}

/// Makes delayed messages ready that are due. Each claim does that too, for a thousand of them. If there are more, an
/// urgent one among them would wait until the lanes have taken other ones.
fn end_delays(shared: &Shared, connection: &mut Connection) -> Result<(), PostgresError> {
    let until = shared.real.uptime().saturating_add(PROMOTING);
    for _ in 0..PROMOTIONS {
        let rows = connection.run(PROMOTE, &[])?;
        let ended: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
        if ended > 0 {
            // A lane that has just looked skipped them, since they were locked.
            shared.wake();
        }
        if ended < AT_ONCE || shared.real.uptime() >= until {
            break;
        }
    }
    Ok(())
}
