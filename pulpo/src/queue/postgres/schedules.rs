//! The schedules in a database: a table of their entries. A step and the messages
//! that it publishes are one transaction.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::connection::{Connection, Sql};
use super::error::PostgresError;
use super::{PostgresQueue, beat, publish};
use crate::keys::OnDuplicate;
use crate::message::MessageId;
use crate::queue::{
    NewMessage, Occurrence, OccurrenceMessage, QueueError, ScheduleStep, ScheduleStore, Schedules, Stepped, StoredEntry,
};

const NOW: Sql = "SELECT now()";

const ENTRIES: Sql = "SELECT name, entry, settled, next, last, message FROM SCHEMA.schedule ORDER BY name, entry";

const PAUSED: Sql = "SELECT name FROM SCHEMA.schedule_pause ORDER BY name";

/// Locks all entries of a name, so that two of them do not step at once.
const LOCK: Sql = "SELECT FROM SCHEMA.schedule WHERE name = $1 ORDER BY entry FOR UPDATE";

const BEGIN_ENTRY: Sql = "INSERT INTO SCHEMA.schedule(name, entry, settled, next) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING RETURNING name";

const SETTLE: Sql = "UPDATE SCHEMA.schedule SET settled = $3, next = $4
    WHERE name = $1 AND entry = $2 AND settled = $5 RETURNING name";

const NOTE: Sql = "UPDATE SCHEMA.schedule SET last = $3, message = $4 WHERE name = $1 AND entry = $2";

const IS_PAUSED: Sql = "SELECT FROM SCHEMA.schedule_pause WHERE name = $1";

/// Returns whether another entry of the name had an occurrence at that time.
const WAS_DUE: Sql = "SELECT FROM SCHEMA.schedule WHERE name = $1 AND entry <> $2 AND last = $3";

/// Returns whether a message of this queue is unfinished. The scheduler looks at
/// messages of other queues.
const IS_UNFINISHED: Sql = "SELECT FROM SCHEMA.schedule JOIN SCHEMA.message
    ON id = CASE WHEN message ~ '^[0-9]{1,18}$' THEN message::bigint END WHERE name = $1 AND state <> 3";

const PAUSE: Sql = "INSERT INTO SCHEMA.schedule_pause(name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING name";

const RESUME: Sql = "WITH gone AS (DELETE FROM SCHEMA.schedule_pause WHERE name = $1 RETURNING name),
    settled AS (UPDATE SCHEMA.schedule SET settled = greatest(settled, now()) FROM gone
        WHERE schedule.name = gone.name)
    SELECT name FROM gone";

const FORGET: Sql =
    "DELETE FROM SCHEMA.schedule WHERE settled < now() - $1::double precision * interval '1 second' RETURNING name";

impl ScheduleStore for PostgresQueue {
    fn read_schedules(&self) -> Result<Schedules, QueueError> {
        let shared = self.shared();
        shared.ask(read).map_err(|error| shared.error("read the schedules of", error))
    }

    fn step_schedule(&self, step: &ScheduleStep) -> Result<Stepped, QueueError> {
        let shared = self.shared();
        let failed = |error| shared.error("publish to", error);
        let new: Vec<NewMessage> = step.occurrences.iter().filter_map(to_publish).cloned().collect();
        publish::check(&new, &shared.place)?;
        if !new.is_empty() {
            // It sends delayed notifications and writes the numbers over time.
            beat::run(shared, false).map_err(failed)?;
        }
        let stepped = shared.with_conflicts(|connection| in_one(connection, step)).map_err(failed)?;
        if let Stepped::Done(ids) = &stepped {
            let made = step.occurrences.iter().zip(ids).filter(|(_, id)| id.is_some());
            shared.have_published(made.filter_map(|(occurrence, _)| to_publish(occurrence)));
        }
        if matches!(&stepped, Stepped::Done(ids) if ids.iter().any(Option::is_some)) && !new.is_empty() {
            shared.tell(new.into_iter().map(|message| message.queue).collect());
        }
        Ok(stepped)
    }

    fn pause_schedule(&self, name: &str, paused: bool) -> Result<bool, QueueError> {
        let shared = self.shared();
        let sql = if paused { PAUSE } else { RESUME };
        let rows = shared
            .ask(|connection| connection.run(sql, &[(&name, Type::TEXT)]))
            .map_err(|error| shared.error("pause a schedule of", error))?;
        Ok(rows.is_empty() == paused)
    }

    fn forget_schedules(&self, unattended_for: Duration) -> Result<u64, QueueError> {
        let shared = self.shared();
        let seconds = unattended_for.as_secs_f64();
        let rows = shared
            .ask(|connection| connection.run(FORGET, &[(&seconds, Type::FLOAT8)]))
            .map_err(|error| shared.error("remove schedules of", error))?;
        Ok(rows.len() as u64)
    }
}

fn to_publish(occurrence: &Occurrence) -> Option<&NewMessage> {
    match &occurrence.message {
        OccurrenceMessage::New(message) => Some(message),
        OccurrenceMessage::Published(_) => None,
    }
}

fn read(connection: &mut Connection) -> Result<Schedules, PostgresError> {
    // The time is read first, so that no entry is settled later than now.
    let now: DateTime<Utc> = match connection.run(NOW, &[])?.first() {
        Some(row) => row.try_get(0)?,
        None => return Err(PostgresError::permanent("the server does not say what time it is".to_owned())),
    };
    let mut entries = Vec::new();
    for row in connection.run(ENTRIES, &[])? {
        let (name, text): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let mut entry = StoredEntry::new(name, text, row.try_get(2)?);
        entry.next = row.try_get(3)?;
        entry.last = row.try_get(4)?;
        entry.message = row.try_get::<_, Option<String>>(5)?.map(MessageId::from);
        entries.push(entry);
    }
    let paused = connection.run(PAUSED, &[])?.into_iter().map(|row| Ok(row.try_get(0)?));
    Ok(Schedules::new(now, entries, paused.collect::<Result<_, PostgresError>>()?))
}

fn in_one(connection: &mut Connection, step: &ScheduleStep) -> Result<Stepped, PostgresError> {
    if step.occurrences.is_empty() {
        let settled = settle(connection, step)?;
        return Ok(if settled { Stepped::Done(Vec::new()) } else { Stepped::Beaten });
    }
    connection.in_transaction(|connection| carry_out(connection, step))
}

/// Returns false if another scheduler was faster.
fn settle(connection: &mut Connection, step: &ScheduleStep) -> Result<bool, PostgresError> {
    let ScheduleStep { name, text, from, to, next, .. } = step;
    let entry: [super::connection::Parameter<'_>; 4] =
        [(name, Type::TEXT), (text, Type::TEXT), (to, Type::TIMESTAMPTZ), (next, Type::TIMESTAMPTZ)];
    let rows = match from {
        None => connection.run(BEGIN_ENTRY, &entry)?,
        Some(from) => {
            let mut entry = entry.to_vec();
            entry.push((from, Type::TIMESTAMPTZ));
            connection.run(SETTLE, &entry)?
        }
    };
    Ok(!rows.is_empty())
}

fn carry_out(connection: &mut Connection, step: &ScheduleStep) -> Result<Stepped, PostgresError> {
    connection.run(LOCK, &[(&step.name, Type::TEXT)])?;
    if !settle(connection, step)? {
        return Ok(Stepped::Beaten);
    }
    let mut ids = Vec::with_capacity(step.occurrences.len());
    for occurrence in &step.occurrences {
        ids.push(publish(connection, step, occurrence)?);
    }
    Ok(Stepped::Done(ids))
}

/// Publishes an occurrence, unless it is to be left out, and returns its message.
fn publish(
    connection: &mut Connection,
    step: &ScheduleStep,
    occurrence: &Occurrence,
) -> Result<Option<MessageId>, PostgresError> {
    let ScheduleStep { name, text, overlap, .. } = step;
    let at = occurrence.at;
    let id = match &occurrence.message {
        OccurrenceMessage::Published(id) => id.as_str().to_owned(),
        OccurrenceMessage::New(message) => {
            let paused = !connection.run(IS_PAUSED, &[(name, Type::TEXT)])?.is_empty();
            let was_due = [(name as _, Type::TEXT), (text as _, Type::TEXT), (&at as _, Type::TIMESTAMPTZ)];
            if paused
                || !connection.run(WAS_DUE, &was_due)?.is_empty()
                || (!overlap && !connection.run(IS_UNFINISHED, &[(name, Type::TEXT)])?.is_empty())
            {
                return Ok(None);
            }
            // A rejected duplicate has no publisher that could be told.
            let mut message = message.clone();
            if let Some(unique) = message.unique.as_mut().filter(|unique| unique.on_duplicate == OnDuplicate::Reject) {
                unique.on_duplicate = OnDuplicate::Keep;
            }
            match publish::insert_within(connection, &[&message])?.pop() {
                Some(kept) => kept.id.as_str().to_owned(),
                None => return Ok(None),
            }
        }
    };
    connection.run(NOTE, &[(name, Type::TEXT), (text, Type::TEXT), (&at, Type::TIMESTAMPTZ), (&id, Type::TEXT)])?;
    Ok(Some(MessageId::from(id)))
}
