//! The assertions about a queue. Each failure reports the actual content.

use std::fmt::Write as _;

use super::TestPulpo;
use super::recorder::Published;
use super::run::{Delay, Run, is_of};
use crate::job::Job;
use crate::keys::Publication;
use crate::message::Message;
use crate::queue::{Filter, MessageState};
use crate::report::limited;

impl TestPulpo {
    /// Returns all messages of this job that were published so far, in order, whatever happened to them: by `publish`,
    /// or as follow-ups of jobs that are done.
    ///
    /// # Panics
    /// If a body cannot be read back as its type.
    #[must_use]
    #[track_caller]
    pub fn published<J: Job>(&self) -> Vec<Message<J>> {
        read_back(self.recorder().read(|record| of_job::<J>(&record.published)))
    }

    /// Asserts that such a message was published, and returns the first one that matches.
    ///
    /// ```
    /// # use pulpo::testing::TestPulpo;
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct SendEmail { to: String }
    /// # #[pulpo::handler("send_email")]
    /// # fn send_email(_: SendEmail) {}
    /// # fn sign_up(to: &str) { pulpo::publish(SendEmail { to: to.into() }).unwrap(); }
    /// let pulpo = TestPulpo::new();
    /// sign_up("ada@example.com");
    /// pulpo.assert_published::<SendEmail>(|m| m.body().to == "ada@example.com");
    /// ```
    ///
    /// # Panics
    /// If none matches; lists what was published instead.
    #[track_caller]
    pub fn assert_published<J: Job>(&self, fits: impl Fn(&Message<J>) -> bool) -> Message<J> {
        let name = J::REQUEST_TYPE;
        self.published()
            .into_iter()
            .find(fits)
            .unwrap_or_else(|| panic!("expected a published `{name}` that matches, got {}", self.all()))
    }

    /// Asserts that such a message was published while its unique key was taken, so that the earlier message was kept
    /// or replaced. Returns the first one that matches, with the id of the message that has the key.
    ///
    /// ```
    /// # use pulpo::testing::TestPulpo;
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Recalculate { account: u64 }
    /// # #[pulpo::handler("recalculate", unique(account))]
    /// # fn recalculate(_: Recalculate) {}
    /// let pulpo = TestPulpo::new();
    /// for _ in 0..2 {
    ///     pulpo::publish(Recalculate { account: 7 })?;
    /// }
    /// pulpo.assert_duplicate::<Recalculate>(|m| m.body().account == 7);
    /// # Ok::<(), pulpo::PublishError>(())
    /// ```
    ///
    /// # Panics
    /// If none matches; lists what was published.
    #[track_caller]
    pub fn assert_duplicate<J: Job>(&self, fits: impl Fn(&Message<J>) -> bool) -> Message<J> {
        let name = J::REQUEST_TYPE;
        read_back(self.recorder().read(|record| of_job::<J>(&record.duplicates)))
            .into_iter()
            .find(fits)
            .unwrap_or_else(|| panic!("expected a duplicate of `{name}` that matches, got {}", self.all()))
    }

    /// Asserts that no message of this job was published.
    ///
    /// # Panics
    /// If one was; lists what was published.
    #[track_caller]
    pub fn assert_none_published<J: Job>(&self) {
        let found = self.recorder().read(|record| record.published.iter().any(|p| is_of::<J>(&p.request_type)));
        assert!(!found, "expected no published `{}`, got {}", J::REQUEST_TYPE, self.all());
    }

    /// Asserts that such a message is done.
    ///
    /// # Panics
    /// If none that matches is done; lists what was published instead.
    #[track_caller]
    pub fn assert_done<J: Job>(&self, fits: impl Fn(&Message<J>) -> bool) {
        let done: Vec<_> = self
            .recorder()
            .read(|record| record.runs.iter().filter(|run| run.is_done()).map(|run| run.id().clone()).collect());
        let mut messages = self.published::<J>().into_iter();
        let found = messages.any(|message| fits(&message) && message.id().is_some_and(|id| done.contains(id)));
        assert!(found, "expected a done `{}` that matches, got {}", J::REQUEST_TYPE, self.all());
    }

    /// Asserts that a message of this job is buried, with this text in its reason.
    ///
    /// # Panics
    /// If none is; lists what was published instead.
    #[track_caller]
    pub fn assert_buried<J: Job>(&self, part: &str) {
        let buried = self.stored(&Filter::all().state(MessageState::Buried));
        let found = buried.iter().any(|stored| {
            is_of::<J>(&stored.request_type) && stored.last_error.as_deref().is_some_and(|why| why.contains(part))
        });
        assert!(found, "expected a buried `{}` with {part:?}, got {}", J::REQUEST_TYPE, self.all());
    }

    /// Asserts that the last run of this job failed and that the message is retried after this time: a
    /// [`Duration`](std::time::Duration), or a range of them if the backoff is jittered (`1s..=1.5s` for a first delay
    /// of a second).
    ///
    /// # Panics
    /// If not; reports what happened to it.
    #[track_caller]
    pub fn assert_retried_after<J: Job>(&self, delay: impl Into<Delay>) {
        let (name, delay) = (J::REQUEST_TYPE, delay.into());
        match self.recorder().read(|record| record.runs.iter().rev().find(|run| run.is_of::<J>()).cloned()) {
            None => panic!("expected `{name}` to be tried again after {delay}, but none has run; got {}", self.all()),
            Some(run) => assert!(run.was_put_back(&delay), "expected {run} to be tried again after {delay}"),
        }
    }

    /// Asserts that the handler snoozed the last run of this job for this time: a [`Duration`](std::time::Duration), or
    /// a range of them.
    ///
    /// # Panics
    /// If not; reports what happened to it.
    #[track_caller]
    pub fn assert_snoozed<J: Job>(&self, delay: impl Into<Delay>) {
        let (name, delay) = (J::REQUEST_TYPE, delay.into());
        match self.recorder().read(|record| record.runs.iter().rev().find(|run| run.is_of::<J>()).cloned()) {
            None => panic!("expected `{name}` to be snoozed for {delay}, but none has run; got {}", self.all()),
            Some(run) => assert!(run.was_snoozed(&delay), "expected {run} to be snoozed for {delay}"),
        }
    }

    /// Asserts that the queue is empty: each published message is done or has expired.
    ///
    /// # Panics
    /// If it is not; lists its messages.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        assert!(self.stored(&Filter::all()).is_empty(), "expected an empty queue, got {}", self.all());
    }

    /// Lists, for people, each published message with its state, and those that reached the queue in another way.
    fn all(&self) -> String {
        let stored = self.stored(&Filter::all());
        let (published, runs) = self.recorder().read(|record| (record.published.clone(), record.runs.clone()));
        if published.is_empty() {
            return "nothing: no message was published".to_owned();
        }
        let mut text = "these:".to_owned();
        for Published { id, request_type, text: wire } in &published {
            let body = body(wire);
            let state = match stored.iter().find(|stored| stored.id == *id) {
                Some(stored) => match (stored.state, &stored.last_error) {
                    (MessageState::Delayed, why) => {
                        let until = stored.until.and_then(|until| (until - self.now()).to_std().ok());
                        let until = humantime::format_duration(until.unwrap_or_default());
                        why.as_ref()
                            .map_or(format!("delayed, due in {until}"), |why| format!("due again in {until}: {why}"))
                    }
                    (state, Some(why)) => format!("{state}: {why}"),
                    (state, None) => state.to_string(),
                },
                None => runs
                    .iter()
                    .rev()
                    .find(|run| run.id() == id)
                    .map_or("deleted".into(), |run: &Run| run.settled().to_string()),
            };
            let _ = write!(text, "\n  {id} `{request_type}` {body} ({state})");
        }
        text
    }
}

fn of_job<J: Job>(all: &[Published]) -> Vec<Published> {
    all.iter().filter(|published| is_of::<J>(&published.request_type)).cloned().collect()
}

#[track_caller]
fn read_back<J: Job>(all: Vec<Published>) -> Vec<Message<J>> {
    let mut messages = Vec::new();
    for published in all {
        match Message::from_json(published.text.as_bytes()) {
            Ok(mut message) => {
                message.set_published(published.id, Publication::New);
                messages.push(message);
            }
            Err(error) => panic!("a message cannot be read back: {error}, in {}", published.text),
        }
    }
    messages
}

/// Returns the body of a message, for people.
fn body(wire: &str) -> String {
    let read = crate::message::Incoming::read(wire.as_bytes());
    limited(read.map_or(wire, |message| message.body().text().unwrap_or("without a body")).to_owned())
}
