//! Chooses faults, their times and their victims, all from the seed.

use std::time::Duration;

use crate::kind::TTR;
use crate::ledger::Fault;
use crate::process::Role;

/// The next action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Process(Role, Fault),
    Server,
}

/// Returns the pause before the next fault: half a second on average.
pub(crate) fn pause(random: &mut fastrand::Rng) -> Duration {
    Duration::from_millis(random.u64(50..950))
}

/// Returns how long a worker stands still: longer than its leases last.
pub(crate) fn standstill(random: &mut fastrand::Rng) -> Duration {
    TTR + Duration::from_millis(random.u64(300..1500))
}

/// Returns how long a server is down, where it is down for a third of the time.
pub(crate) fn outage(random: &mut fastrand::Rng) -> Duration {
    Duration::from_millis(random.u64(300..1500))
}

pub(crate) fn choose(random: &mut fastrand::Rng, with_server: bool) -> Choice {
    let all = if with_server { 100 } else { 85 };
    match random.u8(..all) {
        ..40 => Choice::Process(Role::Worker, Fault::Kill),
        40..50 => Choice::Process(Role::Worker, Fault::Pause),
        50..60 => Choice::Process(Role::Worker, Fault::Stop),
        60..85 => Choice::Process(Role::Producer, Fault::Kill),
        _ => Choice::Server,
    }
}
