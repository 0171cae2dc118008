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

/// The first faults, so that no run is without any of these by chance.
const FIRST: [Choice; 5] = [
    Choice::Process(Role::Worker, Fault::Kill),
    Choice::Server,
    Choice::Process(Role::Producer, Fault::Kill),
    Choice::Process(Role::Worker, Fault::Kill),
    Choice::Process(Role::Worker, Fault::Kill),
];

/// Chooses the fault with this number, from 0.
pub(crate) fn choose(random: &mut fastrand::Rng, number: usize, with_server: bool) -> Choice {
    if let Some(first) = FIRST.get(number).filter(|first| with_server || **first != Choice::Server) {
        return *first;
    }
    let all = if with_server { 100 } else { 85 };
    match random.u8(..all) {
        ..40 => Choice::Process(Role::Worker, Fault::Kill),
        40..50 => Choice::Process(Role::Worker, Fault::Pause),
        50..60 => Choice::Process(Role::Worker, Fault::Stop),
        60..85 => Choice::Process(Role::Producer, Fault::Kill),
        _ => Choice::Server,
    }
}
