//! Finds out whether two names mean one server: `127.0.0.1:11300` and `localhost:11300`. One server under two names
//! would be counted and listed twice, and a process would have two connections there that take jobs.
//!
//! Publishing needs no identities, and so does not ask for them. Whatever goes to all servers does, once per process,
//! and again when a server is back, since another one may have its name by now.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::server::{Server, Told};
use super::shared::Shared;
use crate::clock::Clock as _;
use crate::queue::QueueError;
use crate::sync::lock;

impl Shared {
    /// Asks all servers for their identity that have not told it, and waits this long for the answers. Servers that are
    /// away are not asked. An answer that comes later counts too. `told` says whether the caller asks those that do not
    /// answer once more, and returns their errors.
    ///
    /// # Errors
    /// [`QueueError::Rejected`] if two of them are one server.
    pub(super) fn identify_all(self: &Arc<Self>, patience: Duration, told: Told) -> Result<(), QueueError> {
        let asked: Vec<_> = {
            let known = lock(self.identities.get_or_init(Mutex::default));
            let is_open = |(at, server): &(usize, &Server)| {
                server.identify.is_some() && !known.contains_key(at) && !server.health().is_away()
            };
            self.servers.iter().enumerate().filter(is_open).map(|(at, _)| at).collect()
        };
        if asked.is_empty() {
            return Ok(());
        }
        let (tell, answers) = mpsc::channel();
        for at in asked {
            let (shared, tell) = (self.clone(), tell.clone());
            let identify = move || {
                // If the caller has given up, the conflict is reported here.
                if let Err(mpsc::SendError(Err(error @ QueueError::Rejected { .. }))) =
                    tell.send(shared.identify(at, told))
                {
                    shared.report(at, &error, Told::Nobody);
                }
            };
            if let Err(error) = std::thread::Builder::new().name("pulpo-server-id".to_owned()).spawn(identify) {
                tracing::warn!(%error, "no thread to ask which server this is");
            }
        }
        drop(tell);
        let end = self.clock.uptime().saturating_add(patience);
        while let Ok(answer) = answers.recv_timeout(end.saturating_sub(self.clock.uptime())) {
            // Other errors reach the callers that need that server.
            if let Err(error @ QueueError::Rejected { .. }) = answer {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Asks a server that is back, unless its identity is known.
    pub(super) fn identify_again(self: &Arc<Self>, at: usize) {
        let is_known = lock(self.identities.get_or_init(Mutex::default)).contains_key(&at);
        if !is_known && let Err(error @ QueueError::Rejected { .. }) = self.identify(at, Told::Nobody) {
            self.report(at, &error, Told::Nobody);
        }
    }

    /// Asks one server. If it fails, or is one of the others, it is left alone from now on. The caller reports the
    /// latter.
    fn identify(self: &Arc<Self>, at: usize, told: Told) -> Result<(), QueueError> {
        let Some(identify) = &self.servers[at].identify else { return Ok(()) };
        let began = self.clock.uptime();
        let answer = identify().and_then(|identity| self.identified(at, identity));
        answer.inspect_err(|error| {
            let told = if matches!(error, QueueError::Rejected { .. }) { Told::Caller } else { told };
            self.failed(at, error, began, told);
        })
    }

    /// Records the identity of a server.
    ///
    /// # Errors
    /// [`QueueError::Rejected`] if another server has the same.
    pub(super) fn identified(&self, at: usize, identity: Option<String>) -> Result<(), QueueError> {
        let mut known = lock(self.identities.get_or_init(Mutex::default));
        let same = known.iter().find(|(other, its)| **other != at && its.is_some() && **its == identity);
        let Some((&other, _)) = same else {
            known.insert(at, identity);
            return Ok(());
        };
        known.remove(&at);
        let [first, second] = [at.min(other), at.max(other)].map(|at| &self.servers[at].name);
        Err(QueueError::Rejected {
            doing: format!("use the server {}", self.servers[at].name),
            source: format!("{first} and {second} are one server: name it once").into(),
        })
    }

    /// Forgets the identity of a server that is away: another one may have its name when it is back.
    pub(super) fn forget_identity(&self, at: usize) {
        lock(self.identities.get_or_init(Mutex::default)).remove(&at);
    }
}
