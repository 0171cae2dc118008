//! Plans the next write.

use std::sync::Arc;
use std::time::Duration;

use super::{MOST_DELETIONS, State};
use crate::queue::beanstalkd::lease_connection::calls::{Deferred, Owed};
use crate::queue::beanstalkd::protocol::Commands;

impl State {
    /// Adds the commands that the waiting calls need.
    pub(in crate::queue::beanstalkd::lease_connection) fn plan(&mut self, now: Duration) {
        if self.at_server().is_some() {
            return;
        }
        self.send_deferred(now);
        let asked_by = self.next_number;
        // The tubes, how many jobs are wanted, and the newest call that has not been told yet that there is no job.
        let mut groups: Vec<(Arc<[String]>, usize, Option<u64>)> = Vec::new();
        for (number, waiting) in self.all_waiting().filter(|(_, waiting)| !waiting.want.tubes.is_empty()) {
            let (count, fresh) = (1 + waiting.want.more, (!waiting.checked).then_some(number));
            match groups.iter_mut().find(|(tubes, ..)| *tubes == waiting.want.tubes) {
                Some(group) => {
                    group.1 += count;
                    group.2 = group.2.max(fresh);
                }
                None => groups.push((waiting.want.tubes.clone(), count, fresh)),
            }
        }
        if groups.is_empty() {
            return;
        }
        let seconds = self.seconds_at_server(now);
        if !self.is_busy() && seconds > 0 {
            let mut all: Vec<String> = groups.iter().flat_map(|(tubes, ..)| tubes.iter().cloned()).collect();
            all.sort_unstable();
            all.dedup();
            let tubes: Arc<[String]> = if let [(only, ..)] = &*groups { only.clone() } else { all.into() };
            self.watch(&tubes);
            self.commands.reserve(seconds);
            self.unsent.push_back(Owed::Job { tubes, at_server: true, asked_by });
            return;
        }
        let due = now >= self.check_at;
        for (tubes, count, fresh) in groups {
            let of_group = |owed: &&Owed| match owed {
                Owed::Job { tubes: its, .. } => *its == tubes,
                // The job may go to one of them.
                Owed::Stats { .. } => true,
                _ => false,
            };
            let asked = self.owed.iter().chain(&self.unsent).filter(of_group).count();
            // A request sent before the last call arrived proves nothing to that call.
            let answers_last = |owed: &Owed| match owed {
                Owed::Job { asked_by, .. } => Some(*asked_by) >= fresh,
                _ => true,
            };
            let is_covered = self.owed.iter().chain(&self.unsent).filter(of_group).any(answers_last);
            let needed = usize::from(fresh.is_some() && !is_covered || due && asked == 0);
            let many = self.eager || fresh.is_some() && count > 1;
            let more = if many { count.saturating_sub(asked).max(needed) } else { needed };
            if more == 0 {
                continue;
            }
            self.watch(&tubes);
            for _ in 0..more {
                self.commands.reserve(0);
                self.unsent.push_back(Owed::Job { tubes: tubes.clone(), at_server: false, asked_by });
            }
        }
    }

    /// Watches exactly these tubes. Adds the new ones first, because the server never lets a connection ignore its last
    /// tube.
    fn watch(&mut self, wanted: &[String]) {
        if wanted == self.watched {
            return;
        }
        for tube in wanted.iter().filter(|tube| !self.watched.contains(tube)) {
            self.commands.watch(tube);
            self.unsent.push_back(Owed::Watching);
        }
        for tube in self.watched.iter().filter(|tube| !wanted.contains(tube)) {
            self.commands.ignore(tube);
            self.unsent.push_back(Owed::Watching);
        }
        self.watched = wanted.to_vec();
    }

    /// Adds the deferred deletions to the next write. If a lease may have ended, asks the server first: it lets any
    /// client delete a job that is not reserved.
    pub(in crate::queue::beanstalkd::lease_connection) fn send_deferred(&mut self, now: Duration) {
        let most = self.deferred.len().min(MOST_DELETIONS);
        for Deferred { lease, id, held } in self.deferred.drain(..most) {
            if held.holding(now).certain {
                self.commands.delete(id);
                self.unsent.push_back(Owed::Deleted(lease));
            } else {
                self.commands.stats_job(id);
                self.unsent.push_back(Owed::Doubtful { lease, id, reserves: held.reserves });
            }
        }
    }

    pub(in crate::queue::beanstalkd::lease_connection) fn has_deferred(&self) -> bool {
        let open = |owed: &Owed| matches!(owed, Owed::Deleted(_) | Owed::Doubtful { .. });
        !self.deferred.is_empty() || self.unsent.iter().chain(&self.owed).any(open)
    }

    /// Returns whether a deletion that this consumer has deferred is in no write yet.
    pub(in crate::queue::beanstalkd::lease_connection) fn has_unsent_deletion(&self, consumer: u64) -> bool {
        self.deferred.iter().any(|deferred| deferred.held.consumer == consumer)
    }

    /// Returns the commands to send, and how long the server then waits.
    pub(in crate::queue::beanstalkd::lease_connection) fn commands_to_send(&mut self) -> (Commands, Duration) {
        self.owed.append(&mut self.unsent);
        let pause = if self.at_server().is_some() { self.reserve_timeout } else { Duration::ZERO };
        (std::mem::take(&mut self.commands), pause)
    }
}
