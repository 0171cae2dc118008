//! The request types of a job, by the type of its body.

use std::any::TypeId;

use crate::job::Job;

/// The request types of a body type.
#[derive(Clone, Copy, Debug)]
pub(super) struct JobNames {
    pub(super) body: TypeId,
    pub(super) request_type: &'static str,
    pub(super) aliases: &'static [&'static str],
}

impl JobNames {
    pub(super) fn of<J: Job>() -> Self {
        Self { body: TypeId::of::<J>(), request_type: J::REQUEST_TYPE, aliases: J::ALIASES }
    }
}
