//! Contexts for tests that call a handler directly, as a function.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::TestPulpo;
use crate::clock::Clock as _;
use crate::context::{Cancellation, Context, RunInfo, WorkerEnv};
use crate::message::{Header, MessageId};
use crate::policy::Policy;
use crate::queue::QueueAdapter as _;

/// Builds a [`Context`] for a handler that is called directly; see [`TestPulpo::context`].
#[derive(Debug)]
#[must_use = "`build` makes the context"]
pub struct ContextBuilder<'pulpo> {
    pulpo: &'pulpo TestPulpo,
    id: MessageId,
    header: Header,
    attempt: u32,
    max_attempts: u32,
    deadline: Option<Duration>,
    cancelled: bool,
}

impl TestPulpo {
    /// Starts building the context of a first attempt, for a handler that is called directly. Change what the test
    /// needs:
    ///
    /// ```
    /// use pulpo::testing::TestPulpo;
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Report { lines: usize }
    /// # #[pulpo::handler("report")]
    /// # fn report(_: Report) {}
    /// # #[derive(Serialize, Deserialize)]
    /// # struct Import { text: String }
    /// #[pulpo::handler("import")]
    /// fn import(import: Import, context: &pulpo::Context) -> pulpo::Outcome {
    ///     if context.attempt() > 3 {
    ///         return Err(pulpo::fatal("three times is enough"));
    ///     }
    ///     context.publish(Report { lines: import.text.lines().count() })?;
    ///     Ok(())
    /// }
    ///
    /// let pulpo = TestPulpo::new();
    /// let context = pulpo.context().attempt(4).build();
    /// assert!(import(Import { text: String::new() }, &context).unwrap_err().is_fatal());
    ///
    /// let context = pulpo.context().build();
    /// import(Import { text: "one\ntwo".into() }, &context).unwrap();
    /// pulpo.assert_none_published::<Report>(); // the job is not done yet
    /// pulpo.commit(context);
    /// pulpo.assert_published::<Report>(|m| m.body().lines == 2);
    /// ```
    pub fn context(&self) -> ContextBuilder<'_> {
        ContextBuilder {
            pulpo: self,
            id: MessageId::from("test"),
            header: Header::default(),
            attempt: 1,
            max_attempts: Policy::DEFAULT.max_attempts,
            deadline: None,
            cancelled: false,
        }
    }

    /// Does what a successful run does at its end: publishes the follow-ups that the handler published through this
    /// context.
    ///
    /// # Panics
    /// If the queue refuses them.
    #[track_caller]
    pub fn commit(&self, context: Context) {
        let published = self.recorder().enqueue(context.into_produced().follow_ups);
        assert!(published.is_ok(), "expected the queue to take what the handler published, got {published:?}");
    }
}

impl ContextBuilder<'_> {
    /// Sets the id of the message. Default: `test`.
    pub fn id(mut self, id: impl Into<MessageId>) -> Self {
        self.id = id.into();
        self
    }

    /// Adds a header to the message.
    pub fn header(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.header.extra.set(key, value.into());
        self
    }

    /// Sets the time of the schedule that the run is for.
    pub fn scheduled_for(mut self, at: DateTime<Utc>) -> Self {
        self.header.scheduled_for = Some(at);
        self
    }

    /// Sets the number of the run, from 1.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Sets how many runs the message gets. Default: 20.
    pub fn max_attempts(mut self, max_attempts: u32) -> Self {
        self.max_attempts = max_attempts;
        self
    }

    /// Sets the time left until the timeout. Default: no timeout.
    pub fn deadline(mut self, left: Duration) -> Self {
        self.deadline = Some(left);
        self
    }

    /// Makes it a run whose result no longer counts.
    pub fn cancelled(mut self) -> Self {
        self.cancelled = true;
        self
    }

    /// Creates the context.
    #[must_use]
    pub fn build(self) -> Context {
        let Self { pulpo, id, mut header, attempt, max_attempts, deadline, cancelled } = self;
        header.attempts = attempt.saturating_sub(1);
        let env = WorkerEnv {
            queue: pulpo.queue().clone(),
            states: pulpo.states(),
            producer: pulpo.producer().clone(),
            clock: Arc::new(pulpo.clock().clone()),
            #[cfg(feature = "tokio")]
            runtime: None,
        };
        let cancellation = Arc::new(Cancellation::default());
        if cancelled {
            cancellation.cancel();
        }
        let timeout_at = deadline.map(|left| pulpo.clock().uptime().saturating_add(left));
        let (progress, limited) = Default::default();
        let info = RunInfo { id, header, attempt, max_attempts, timeout_at, progress, limited };
        Context::new(Arc::new(env), cancellation, info)
    }
}
