//! The store of schedules: the queue itself, or a folder beside a queue that cannot keep them.

use std::fmt;
use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::message::MessageId;
use crate::queue::backend::Purpose;
use crate::queue::{
    Occurrence, OccurrenceMessage, QueueAdapter, QueueError, ScheduleStep, ScheduleStore, Schedules, Stepped,
    StoredEntry,
};

/// The file that the worker locks whose turn it is to publish and step.
const LOCK: &str = "schedules.lock";

/// A folder that keeps the schedules of workers whose queue cannot keep them.
#[derive(Clone, Debug)]
pub(crate) struct SeparateStore {
    /// Only its schedules are used.
    pub(crate) keeper: Arc<dyn QueueAdapter>,
    pub(crate) folder: PathBuf,
}

/// Opens the folder when it is needed: a program that only publishes needs none.
#[derive(Clone)]
pub(crate) struct OpenSchedules(Arc<dyn Fn(Purpose) -> Result<SeparateStore, QueueError> + Send + Sync>);

impl OpenSchedules {
    pub(crate) fn new(open: impl Fn(Purpose) -> Result<SeparateStore, QueueError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(open))
    }

    pub(crate) fn open(&self, purpose: Purpose) -> Result<SeparateStore, QueueError> {
        (self.0)(purpose)
    }
}

impl fmt::Debug for OpenSchedules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSchedules").finish_non_exhaustive()
    }
}

/// The outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Done,
    /// Another worker was faster.
    Beaten,
}

pub(super) struct Store {
    queue: Arc<dyn QueueAdapter>,
    separate: Option<SeparateStore>,
}

/// A step for each occurrence. Where the schedules are apart from the queue, an
/// occurrence is published first and settled after: a kill between the two
/// leaves that one due, and a failure of a later one none of those before.
fn parts(step: ScheduleStep) -> Vec<ScheduleStep> {
    let times: Vec<_> = step.occurrences.iter().map(|occurrence| occurrence.at).collect();
    let ScheduleStep { name, text, mut from, to, next, occurrences, overlap } = step;
    let part = |(index, occurrence): (usize, Occurrence)| {
        let later = times.get(index + 1).copied();
        let until = if later.is_some() { occurrence.at } else { to };
        let mut part = ScheduleStep::new(&name, &text, from.replace(until), until);
        (part.next, part.overlap) = (later.or(next), overlap);
        part.occurrences.push(occurrence);
        part
    };
    occurrences.into_iter().enumerate().map(part).collect()
}

/// While it lives, no other worker publishes and steps.
pub(super) struct Turn(#[allow(dead_code, reason = "dropped to unlock it")] Option<File>);

impl Store {
    /// Returns the store; `None` if the queue cannot keep schedules and there is no folder.
    pub(super) fn new(queue: Arc<dyn QueueAdapter>, separate: Option<SeparateStore>) -> Option<Self> {
        (separate.is_some() || queue.schedules().is_some()).then_some(Self { queue, separate })
    }

    /// Takes the turn to publish and step; `None` while another worker has it.
    pub(super) fn begin(&self) -> Result<Option<Turn>, QueueError> {
        let Some(separate) = &self.separate else { return Ok(Some(Turn(None))) };
        let path = separate.folder.join(LOCK);
        let failed = |source: std::io::Error| QueueError::Unavailable {
            doing: format!("lock {}, which lets workers take turns at schedules", path.display()),
            source: Box::new(source),
        };
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Turn(Some(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    fn kept(&self) -> &dyn ScheduleStore {
        let keeper = self.separate.as_ref().map_or(&self.queue, |separate| &separate.keeper);
        keeper.schedules().expect("a store is made of what keeps schedules")
    }

    pub(super) fn read(&self) -> Result<Schedules, QueueError> {
        self.kept().read_schedules()
    }

    pub(super) fn forget(&self, unattended_for: Duration) -> Result<u64, QueueError> {
        self.kept().forget_schedules(unattended_for)
    }

    /// Steps and publishes, and tells of each part of it that is done.
    pub(super) fn step(
        &self,
        step: ScheduleStep,
        known: &Schedules,
        mut tell: impl FnMut(&ScheduleStep, &[Option<MessageId>]),
    ) -> Result<Progress, QueueError> {
        if self.separate.is_none() || step.occurrences.is_empty() {
            return Ok(match self.kept().step_schedule(&step)? {
                Stepped::Done(ids) => {
                    tell(&step, &ids);
                    Progress::Done
                }
                Stepped::Beaten => Progress::Beaten,
            });
        }
        let mut last_message = None;
        for part in parts(step) {
            let published = self.publish(&part, known, last_message.as_ref())?;
            let mut noted = part.clone();
            noted.occurrences = published.iter().cloned().map(|(at, id)| Occurrence::published(at, id)).collect();
            if self.kept().step_schedule(&noted)? == Stepped::Beaten {
                // Only a pause or a resume comes in between, which settles it too.
                return Ok(Progress::Beaten);
            }
            let id = published.map(|(_, id)| id);
            tell(&part, std::slice::from_ref(&id));
            last_message = id.or(last_message);
        }
        Ok(Progress::Done)
    }

    /// Publishes the one occurrence of a step, unless it is left out.
    fn publish(
        &self,
        step: &ScheduleStep,
        known: &Schedules,
        last_message: Option<&MessageId>,
    ) -> Result<Option<(DateTime<Utc>, MessageId)>, QueueError> {
        let [Occurrence { at, message: OccurrenceMessage::New(message) }] = &step.occurrences[..] else {
            return Ok(None);
        };
        if self.is_left_out(step, *at, known, last_message)? {
            return Ok(None);
        }
        let id = self.queue.enqueue(vec![message.clone()])?.pop().expect("one message has one id").id;
        Ok(Some((*at, id)))
    }

    /// Applies the rules of [`ScheduleStore::step_schedule`] to messages in another queue.
    fn is_left_out(
        &self,
        step: &ScheduleStep,
        at: DateTime<Utc>,
        known: &Schedules,
        last_message: Option<&MessageId>,
    ) -> Result<bool, QueueError> {
        let of_name = || entries_of(known, &step.name);
        if of_name().any(|entry| entry.text != step.text && entry.last == Some(at)) {
            return Ok(true);
        }
        if step.overlap {
            return Ok(false);
        }
        self.is_any_unfinished(of_name().filter_map(|entry| entry.message.as_ref()).chain(last_message))
    }

    /// Returns whether the last job of any of these names is unfinished.
    pub(super) fn has_unfinished(&self, names: &[&str], known: &Schedules) -> Result<bool, QueueError> {
        let entries = names.iter().flat_map(|name| entries_of(known, name));
        self.is_any_unfinished(entries.filter_map(|entry| entry.message.as_ref()))
    }

    fn is_any_unfinished<'a>(&self, ids: impl Iterator<Item = &'a MessageId>) -> Result<bool, QueueError> {
        for id in ids {
            if self.queue.peek(id)?.is_some_and(|message| message.state.is_unfinished()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn entries_of<'a>(known: &'a Schedules, name: &'a str) -> impl Iterator<Item = &'a StoredEntry> {
    known.entries.iter().filter(move |entry| entry.name == name)
}

#[cfg(all(test, feature = "file"))]
mod tests;
