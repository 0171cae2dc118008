//! A model of a message's life on the embedded queue: leases by the time of day, messages leased
//! ahead, workers that die or stand still, a clock that is set forward and back, and late
//! settlements. The model checker visits every reachable state and checks the guarantees in each.
//!
//! Times are in thirds of a ttr: a heartbeat is one, a lease lasts three.

use stateright::{Checker as _, Model, Property};

const TTR: i8 = 3;
const MAX_ATTEMPTS: u8 = 2;
const WORKERS: usize = 2;

/// The bounds of the model.
const MOST_TICKS: u8 = 3;
const MOST_JUMPS: u8 = 2;
const MOST_LEASES: u8 = 3;

/// The state of the message in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Ready,
    /// The worker that holds the message, the lease, and the time of day when it ends.
    Leased {
        by: usize,
        lease: u8,
        ends: i8,
    },
    Done,
    Buried,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Worker {
    Idle,
    /// Leased ahead at that time of day; no handler was called.
    Ahead {
        lease: u8,
        at: i8,
    },
    Running {
        lease: u8,
    },
    /// The lease whose message ran, according to the worker's record.
    Dead {
        ran: Option<u8>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    at: At,
    workers: [Worker; WORKERS],
    is_frozen: [bool; WORKERS],
    now: i8,
    ticks: u8,
    jumps: u8,
    /// After the clock was set forward: leases that ended since that time of day are spared for
    /// this number of heartbeats.
    spared: Option<(i8, u8)>,
    leases: u8,
    attempts: u8,
    /// The number of runs that began, and of commits that were executed.
    began: u8,
    commits: u8,
    any_froze: bool,
    any_died: bool,
    /// Whether the handlers of two workers have run at the same time.
    overlapped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Lease {
        by: usize,
        ahead: bool,
    },
    Start(usize),
    Release(usize),
    Settle {
        by: usize,
        ok: bool,
    },
    /// A worker finds that the lease has ended.
    EndLease,
    /// The time of a heartbeat passes.
    Tick,
    SetClock(i8),
    Freeze(usize),
    Thaw(usize),
    Kill(usize),
    /// A worker finds that this worker has died.
    FindDead(usize),
    /// Another worker replaces the dead one.
    Restart(usize),
}

struct Life;

impl State {
    fn is_up(&self, worker: usize) -> bool {
        !self.is_frozen[worker] && !matches!(self.workers[worker], Worker::Dead { .. })
    }

    fn any_is_up(&self) -> bool {
        (0..WORKERS).any(|worker| self.is_up(worker))
    }

    fn holds(&self, worker: usize, wanted: u8) -> bool {
        matches!(self.at, At::Leased { by, lease, .. } if by == worker && lease == wanted)
    }

    /// Ends the lease of an unsettled message: a run that had begun counts.
    fn end_lease(&mut self, by: usize, lease: u8) {
        let ran = match self.workers[by] {
            Worker::Running { lease: running } => running == lease,
            Worker::Dead { ran } => ran == Some(lease),
            Worker::Idle | Worker::Ahead { .. } => false,
        };
        self.attempts += u8::from(ran);
        self.at = At::Ready;
    }

    fn lease(&mut self, by: usize, ahead: bool) {
        // A message without attempts left does not run.
        if self.attempts >= MAX_ATTEMPTS {
            self.at = At::Buried;
            return;
        }
        let lease = self.leases;
        self.leases += 1;
        self.at = At::Leased { by, lease, ends: self.now + TTR };
        self.workers[by] = Worker::Ahead { lease, at: self.now };
        if !ahead {
            self.start(by);
        }
    }

    fn start(&mut self, by: usize) {
        if let Worker::Ahead { lease, .. } = self.workers[by] {
            self.workers[by] = Worker::Running { lease };
            self.began += 1;
        }
    }

    fn release(&mut self, by: usize) {
        if let Worker::Ahead { lease, .. } = self.workers[by] {
            self.workers[by] = Worker::Idle;
            if self.holds(by, lease) {
                self.at = At::Ready;
            }
        }
    }

    fn settle(&mut self, by: usize, ok: bool) {
        let Worker::Running { lease } = self.workers[by] else { return };
        self.workers[by] = Worker::Idle;
        // A late settlement does nothing.
        if !self.holds(by, lease) {
            return;
        }
        if ok {
            self.at = At::Done;
            self.commits += 1;
        } else {
            self.attempts += 1;
            self.at = if self.attempts >= MAX_ATTEMPTS { At::Buried } else { At::Ready };
        }
    }

    fn tick(&mut self) {
        self.now += 1;
        self.ticks += 1;
        self.spared = self.spared.and_then(|(since, left)| (left > 1).then(|| (since, left - 1)));
        for worker in 0..WORKERS {
            if !self.is_up(worker) {
                continue;
            }
            match self.workers[worker] {
                // Each heartbeat renews the lease, if the worker still holds it.
                Worker::Running { lease } if self.holds(worker, lease) => {
                    self.at = At::Leased { by: worker, lease, ends: self.now + TTR };
                }
                // A message that no lane takes is returned long before a heartbeat.
                Worker::Ahead { .. } => self.release(worker),
                _ => {}
            }
        }
    }

    fn set_clock(&mut self, by: i8) {
        let before = self.now;
        self.now += by;
        self.jumps += 1;
        if by > 0 {
            // Leases that were spared before stay spared.
            let since = self.spared.map_or(before, |(since, _)| since.min(before));
            self.spared = Some((since, 2));
        } else if let At::Leased { ends, .. } = &mut self.at {
            *ends = (*ends).min(self.now + TTR);
        }
    }

    fn may_end_lease(&self) -> bool {
        let At::Leased { ends, .. } = self.at else { return false };
        let is_spared = self.spared.is_some_and(|(since, _)| ends > since);
        ends <= self.now && !is_spared && self.any_is_up()
    }
}

impl Model for Life {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            at: At::Ready,
            workers: [Worker::Idle; WORKERS],
            is_frozen: [false; WORKERS],
            now: 0,
            ticks: 0,
            jumps: 0,
            spared: None,
            leases: 0,
            attempts: 0,
            began: 0,
            commits: 0,
            any_froze: false,
            any_died: false,
            overlapped: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for worker in 0..WORKERS {
            match state.workers[worker] {
                Worker::Dead { .. } => {
                    if matches!(state.at, At::Leased { by, .. } if by == worker) {
                        if state.any_is_up() {
                            actions.push(Action::FindDead(worker));
                        }
                    } else {
                        actions.push(Action::Restart(worker));
                    }
                    continue;
                }
                _ if state.is_frozen[worker] => {
                    actions.extend([Action::Thaw(worker), Action::Kill(worker)]);
                    continue;
                }
                Worker::Idle if state.at == At::Ready && state.leases < MOST_LEASES => {
                    actions.extend([true, false].map(|ahead| Action::Lease { by: worker, ahead }));
                }
                Worker::Idle => {}
                Worker::Ahead { at, .. } => {
                    actions.push(Action::Release(worker));
                    // A message whose heartbeat is due is not handed out.
                    if state.now - at < TTR / 3 {
                        actions.push(Action::Start(worker));
                    }
                }
                Worker::Running { .. } => {
                    actions.extend([true, false].map(|ok| Action::Settle { by: worker, ok }));
                }
            }
            actions.extend([Action::Freeze(worker), Action::Kill(worker)]);
        }
        if state.may_end_lease() {
            actions.push(Action::EndLease);
        }
        if state.ticks < MOST_TICKS {
            actions.push(Action::Tick);
        }
        if state.jumps < MOST_JUMPS {
            actions.extend([5, -5].map(Action::SetClock));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Lease { by, ahead } => state.lease(by, ahead),
            Action::Start(by) => state.start(by),
            Action::Release(by) => state.release(by),
            Action::Settle { by, ok } => state.settle(by, ok),
            Action::EndLease => {
                if let At::Leased { by, lease, .. } = state.at {
                    state.end_lease(by, lease);
                }
            }
            Action::Tick => state.tick(),
            Action::SetClock(by) => state.set_clock(by),
            Action::Freeze(worker) => (state.is_frozen[worker], state.any_froze) = (true, true),
            Action::Thaw(worker) => state.is_frozen[worker] = false,
            Action::Kill(worker) => {
                let ran = match state.workers[worker] {
                    Worker::Running { lease } => Some(lease),
                    _ => None,
                };
                state.workers[worker] = Worker::Dead { ran };
                (state.is_frozen[worker], state.any_died) = (false, true);
            }
            Action::FindDead(worker) => {
                if let At::Leased { lease, .. } = state.at {
                    state.end_lease(worker, lease);
                }
            }
            Action::Restart(worker) => state.workers[worker] = Worker::Idle,
        }
        let running = state.workers.iter().filter(|worker| matches!(worker, Worker::Running { .. })).count();
        state.overlapped |= running > 1;
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("it is done when one run was committed, and only then", |_, state: &State| {
                state.commits == u8::from(state.at == At::Done)
            }),
            Property::always("it is buried when its attempts are used up, and not before", |_, state: &State| {
                state.at != At::Buried || state.attempts >= MAX_ATTEMPTS
            }),
            Property::always("only runs that began count as attempts", |_, state: &State| {
                state.attempts <= state.began
            }),
            Property::always("a job that kills its workers is tried as often as any other", |_, state: &State| {
                state.any_froze || state.began <= MAX_ATTEMPTS
            }),
            Property::always("it runs once at a time, also while the clock is set", |_, state: &State| {
                state.any_froze || !state.overlapped
            }),
            Property::always(
                "no lease lasts for longer than a ttr from now on",
                |_, state: &State| !matches!(state.at, At::Leased { ends, .. } if ends > state.now + TTR),
            ),
            Property::always("messages of a dead worker are found while another one lives", |model, state: &State| {
                let mut actions = Vec::new();
                model.actions(state, &mut actions);
                let is_stuck = |by: usize| matches!(state.workers[by], Worker::Dead { .. }) && state.any_is_up();
                !matches!(state.at, At::Leased { by, .. } if is_stuck(by) && !actions.contains(&Action::FindDead(by)))
            }),
            // Check that the model reaches the interesting states.
            Property::sometimes("it is done after a worker died with it", |_, state: &State| {
                state.at == At::Done && state.any_died && state.attempts == 1
            }),
            Property::sometimes("it dies leased ahead, and costs no attempt", |_, state: &State| {
                state.any_died && state.at == At::Ready && state.leases == 1 && state.attempts == 0
            }),
            Property::sometimes("deaths alone bury it", |_, state: &State| {
                state.at == At::Buried && state.any_died && !state.any_froze && state.began == MAX_ATTEMPTS
            }),
            Property::sometimes("a worker that stood still runs beside another", |_, state: &State| state.overlapped),
            Property::sometimes("a late settlement does nothing", |_, state: &State| {
                state.at == At::Done && state.began == 2 && state.workers == [Worker::Idle; WORKERS] && state.any_froze
            }),
        ]
    }
}

#[test]
fn the_promises_of_a_message_hold_in_every_state_of_its_life() {
    let checked = Life.checker().threads(2).spawn_bfs().join();
    assert!(checked.unique_state_count() > 5_000, "{} states", checked.unique_state_count());
    checked.assert_properties();
}
