//! Interprets each answer of the server, and passes it to its call.

use std::sync::Arc;
use std::time::Duration;

use super::{FIRST_PAUSE, LONGEST_PAUSE, State};
use crate::queue::beanstalkd::fault::Fault;
use crate::queue::beanstalkd::job::JobStats;
use crate::queue::beanstalkd::lease_connection::calls::{Call, Entry, HeldJob, Kind, Owed, Reserved};
use crate::queue::beanstalkd::protocol::Answer;
use crate::queue::{Lease, MessageState};

impl State {
    /// Takes an answer. An error ends the connection.
    pub(in crate::queue::beanstalkd::lease_connection) fn arrived(
        &mut self,
        answer: Answer,
        now: Duration,
    ) -> Result<(), Fault> {
        match self.owed.pop_front() {
            None => Err(Fault::Foreign(format!("{answer:?}"))),
            Some(Owed::Watching) => answer.expect(&Answer::Watching),
            Some(Owed::Job { tubes, asked_by, .. }) => match answer.reserved() {
                Ok((id, text)) => {
                    (self.eager, self.pause) = (true, FIRST_PAUSE);
                    self.commands.stats_job(id);
                    self.unsent.push_back(Owed::Stats { id, text, since: now });
                    Ok(())
                }
                Err(fault) if fault.ends_connection() => Err(fault),
                Err(_) => {
                    self.missed(&tubes, asked_by, now);
                    Ok(())
                }
            },
            Some(Owed::Stats { id, text, since }) => {
                // Not found: its ttr has passed, and another client has deleted it.
                if let Some(told) = answer.told()? {
                    let garbled = || Fault::Dropped("the answer to stats-job is garbled".to_owned());
                    let job = JobStats::read(&told, id).ok_or_else(garbled)?;
                    if job.state == MessageState::Reserved {
                        self.deliver(id, job, text, since);
                    }
                }
                if !self.is_job_coming() {
                    self.wake_expired(now);
                }
                Ok(())
            }
            Some(Owed::Deleted(lease)) => {
                if !answer.done(&Answer::Deleted)? {
                    self.lost.push(lease);
                }
                Ok(())
            }
            Some(Owed::Doubtful { lease, id, reserves }) => {
                let job = answer.told()?.as_deref().and_then(|told| JobStats::read(told, id));
                if job.is_some_and(|job| job.state == MessageState::Reserved && job.reserves == reserves) {
                    self.commands.delete(id);
                    self.unsent.push_back(Owed::Deleted(lease));
                } else {
                    self.lost.push(lease);
                }
                Ok(())
            }
            Some(Owed::Asked { call, answer: fits, settles }) => self.answered(call, answer, fits, settles),
        }
    }

    fn answered(&mut self, call: u64, answer: Answer, fits: fn(&Answer) -> bool, settles: bool) -> Result<(), Fault> {
        if !fits(&answer) {
            let fault = answer.clone().refusal();
            if fault.ends_connection() {
                return Err(fault);
            }
        }
        let Some(Entry { call: Call::Ask(asking), wakes, .. }) = self.calls.get_mut(&call) else { return Ok(()) };
        asking.missing -= 1;
        if settles && let Some((_, id, _)) = &asking.about {
            let gone = fits(&answer) || matches!(answer, Answer::NotFound | Answer::Buried(_));
            match self.held.get_mut(id) {
                Some(_) if gone => drop(self.held.remove(id)),
                Some(held) => held.settling = None,
                None => {}
            }
        }
        asking.answers.push(answer);
        if asking.missing > 0 {
            return Ok(());
        }
        if !asking.left {
            wakes.notify_one();
            return Ok(());
        }
        // The caller may come again.
        let answers = std::mem::take(&mut asking.answers);
        if let Some((lease, id, kind)) = asking.about.take().filter(|(.., kind)| *kind != Kind::Stats) {
            self.late.insert(id, (lease, kind, answers));
        }
        self.calls.remove(&call);
        Ok(())
    }

    /// Records that there is no job in these tubes.
    fn missed(&mut self, tubes: &[String], asked_by: u64, now: Duration) {
        self.eager = false;
        if now >= self.check_at {
            self.check_at = now.saturating_add(self.pause);
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        self.none_ready(tubes, asked_by, now);
    }

    /// Tells the calls up to this one that there was no job in these tubes after they arrived.
    pub(in crate::queue::beanstalkd::lease_connection) fn none_ready(
        &mut self,
        tubes: &[String],
        asked_by: u64,
        now: Duration,
    ) {
        for (_, entry) in self.calls.range_mut(..=asked_by) {
            if let Call::Wait(waiting) = &mut entry.call
                && waiting.want.tubes.iter().all(|tube| tubes.contains(tube))
            {
                waiting.checked = true;
                if waiting.until <= now {
                    entry.wakes.notify_one();
                }
            }
        }
    }

    /// Wakes calls whose time is over and that stayed for a job that was on its way.
    fn wake_expired(&self, now: Duration) {
        for entry in self.calls.values() {
            if matches!(&entry.call, Call::Wait(waiting) if waiting.job.is_none() && waiting.until <= now) {
                entry.wakes.notify_one();
            }
        }
    }

    /// Delivers a job to the first call that waits for one from its tube.
    fn deliver(&mut self, id: u64, job: JobStats, text: Vec<u8>, since: Duration) {
        let token: Arc<str> = self.number().to_string().into();
        let lease = Lease { id: id.into(), token: token.clone() };
        let mut held = HeldJob {
            token,
            consumer: 0,
            priority: job.priority,
            reserves: job.reserves,
            ttr: job.ttr,
            since,
            settling: None,
        };
        let reserved = Reserved { lease, job, text };
        let taker = self.calls.values_mut().find_map(|entry| match &mut entry.call {
            Call::Wait(waiting)
                if entry.fault.is_none()
                    && waiting.job.is_none()
                    && waiting.want.tubes.contains(&reserved.job.tube) =>
            {
                Some((waiting, &entry.wakes))
            }
            _ => None,
        });
        self.late.remove(&id);
        match taker {
            Some((waiting, wakes)) => {
                held.consumer = waiting.consumer;
                waiting.job = Some(reserved);
                wakes.notify_one();
            }
            None => self.spare.push_back((reserved, id)),
        }
        self.held.insert(id, held);
    }

    // Jobs in hand.
}
