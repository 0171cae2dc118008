//! The store of schedules: the queue itself, or a folder beside a queue that cannot keep them.

use std::fmt;
use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::queue::backend::Purpose;
use crate::queue::{
    Occurrence, OccurrenceMessage, QueueAdapter, QueueError, ScheduleStep, ScheduleStore, Schedules, Stepped,
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

pub(super) struct Store {
    queue: Arc<dyn QueueAdapter>,
    separate: Option<SeparateStore>,
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
            doing: format!("lock {}, by which workers take turns at schedules", path.display()),
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

    /// Steps and publishes. If queue and store are separate, it publishes first: a kill between the two leaves the
    /// occurrence due.
    pub(super) fn step(&self, step: &ScheduleStep, known: &Schedules) -> Result<Stepped, QueueError> {
        if self.separate.is_none() || step.occurrences.is_empty() {
            return self.kept().step_schedule(step);
        }
        let mut published: Vec<Option<Occurrence>> = Vec::new();
        for occurrence in &step.occurrences {
            let OccurrenceMessage::New(message) = &occurrence.message else { continue };
            if self.is_left_out(step, occurrence, known, &published)? {
                published.push(None);
                continue;
            }
            let id = self.queue.enqueue(vec![message.clone()])?.pop().expect("one message has one id").id;
            published.push(Some(Occurrence::published(occurrence.at, id)));
        }
        let mut noted = step.clone();
        noted.occurrences = published.iter().flatten().cloned().collect();
        let ids = published.into_iter().map(|occurrence| match occurrence?.message {
            OccurrenceMessage::Published(id) => Some(id),
            OccurrenceMessage::New(_) => None,
        });
        let ids = ids.collect();
        match self.kept().step_schedule(&noted)? {
            Stepped::Done(_) => Ok(Stepped::Done(ids)),
            // Only a pause or a resume can come in between, and that settles it too.
            beaten => Ok(beaten),
        }
    }

    /// Applies the rules of [`ScheduleStore::step_schedule`] to messages in another queue.
    fn is_left_out(
        &self,
        step: &ScheduleStep,
        occurrence: &Occurrence,
        known: &Schedules,
        published: &[Option<Occurrence>],
    ) -> Result<bool, QueueError> {
        let of_name = || known.entries.iter().filter(|entry| entry.name == step.name);
        if of_name().any(|entry| entry.text != step.text && entry.last == Some(occurrence.at)) {
            return Ok(true);
        }
        if step.overlap {
            return Ok(false);
        }
        if published.iter().any(Option::is_some) {
            return Ok(true);
        }
        for id in of_name().filter_map(|entry| entry.message.as_ref()) {
            if self.queue.peek(id)?.is_some_and(|message| message.state.is_unfinished()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
