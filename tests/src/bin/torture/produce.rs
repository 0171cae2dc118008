//! A producer: publishes jobs of all kinds until it is told to end, or killed.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use pulpo::queue::QueueError;
use pulpo::{Config, IntoMessage, Job, Message, PublishError, Pulpo};

use crate::jobs::{Awaited, Flock, Hurried, Late, Plain, Poison, Stubborn, StubbornFlock, Task};
use crate::kind::Kind;
use crate::ledger::{Event, Ledger};
use crate::life;

/// If more messages are waiting, a producer rests, so that the queue can be drained in time at the end.
const ENOUGH: u64 = 600;
/// The number of publications between two checks.
const LOOK: u64 = 50;
/// The file that tells producers to end.
pub(crate) const OVER: &str = "over";

pub(crate) fn main(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    life::watch();
    let seed = arguments.next().and_then(|seed| seed.parse().ok());
    let (Some(seed), Some(ledger), Some(folder), Ok(process)) =
        (seed, life::ledger(), life::folder(), std::env::var(life::PROCESS))
    else {
        return ExitCode::from(2);
    };
    let mut random = fastrand::Rng::with_seed(seed);
    let is_over = || folder.join(OVER).exists();
    let pulpo = loop {
        match Config::load().map_err(Into::into).and_then(Pulpo::new) {
            Ok(pulpo) => break pulpo,
            Err(_) if is_over() => return ExitCode::SUCCESS,
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    };
    let mut number = 0;
    for round in 0_u64.. {
        if is_over() {
            break;
        }
        while round.is_multiple_of(LOOK) && waiting(&pulpo) > ENOUGH && !is_over() {
            thread::sleep(Duration::from_millis(100));
        }
        let kind = Kind::pick(&mut random);
        let count = if random.u8(..10) == 0 { random.usize(2..10) } else { 1 };
        // A batch of aborting jobs would kill processes all the time.
        let count = if kind == Kind::Abort { 1 } else { count };
        let mut task = || {
            number += 1;
            Task { key: format!("{process}-{number}"), kind }
        };
        let tasks: Vec<_> = (0..count).map(|_| task()).collect();
        if !publish(&pulpo, ledger, &tasks, kind, &mut random) {
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(Duration::from_micros(random.u64(..6000)));
    }
    ExitCode::SUCCESS
}

fn waiting(pulpo: &Pulpo) -> u64 {
    let queue = pulpo.queue();
    let ready: u64 = queue.stats().map_or(0, |stats| stats.counts.iter().map(|counts| counts.ready).sum());
    let spooled = queue.spool().and_then(|spool| spool.spooled().ok());
    ready + spooled.map_or(0, |spooled| spooled.waiting)
}

/// Publishes the jobs and records the outcome. Returns false if any publication failed.
fn publish(pulpo: &Pulpo, ledger: &Ledger, tasks: &[Task], kind: Kind, random: &mut fastrand::Rng) -> bool {
    for task in tasks {
        ledger.write(Event::Publishing { key: task.key.clone(), kind });
    }
    let delay = (kind == Kind::Later).then(|| Duration::from_millis(random.u64(1..2500)));
    let published = match kind {
        Kind::FailAlways | Kind::PanicAlways => send(pulpo, tasks, delay, Stubborn),
        Kind::Abort => send(pulpo, tasks, delay, Poison),
        Kind::TimeoutOnce => send(pulpo, tasks, delay, Hurried),
        Kind::TimeoutAlways => send(pulpo, tasks, delay, Late),
        Kind::AsyncSucceed | Kind::AsyncFailTwice | Kind::AsyncTimeoutOnce => send(pulpo, tasks, delay, Awaited),
        Kind::BatchSucceed | Kind::BatchFatal => send(pulpo, tasks, delay, Flock),
        Kind::BatchFailAlways => send(pulpo, tasks, delay, StubbornFlock),
        _ => send(pulpo, tasks, delay, Plain),
    };
    let (ids, error) = match published {
        Ok(ids) => (ids, None),
        Err(PublishError::Queue(QueueError::PartOfBatch { ids, source, .. })) => {
            (ids.iter().map(ToString::to_string).collect(), Some(PublishError::Queue(*source)))
        }
        Err(error) => (Vec::new(), Some(error)),
    };
    let first_without = ids.len();
    for (task, id) in tasks.iter().zip(ids) {
        ledger.write(Event::Published { key: task.key.clone(), id });
    }
    let Some(error) = error else { return true };
    let mut unsure = matches!(error, PublishError::Queue(QueueError::UnknownOutcome { .. }));
    let is_whole = pulpo.queue().capabilities().atomic_batches;
    for task in &tasks[first_without..] {
        let key = task.key.clone();
        ledger.write(match unsure {
            true => Event::Unsure { key },
            false => Event::Refused { key, why: error.to_string() },
        });
        // In a batch that is not atomic, only the next message was on its way.
        unsure &= is_whole;
    }
    false
}

/// Publishes the tasks. Returns the ids in their order.
fn send<J: Job>(
    pulpo: &Pulpo,
    tasks: &[Task],
    delay: Option<Duration>,
    body: fn(Task) -> J,
) -> Result<Vec<String>, PublishError>
where
    Message<J>: IntoMessage<J>,
{
    let message = |task: &Task| {
        let message = Message::new(body(task.clone()));
        match delay {
            Some(delay) => message.delay(delay),
            None => message,
        }
    };
    let sent = match tasks {
        [one] => vec![pulpo.publish(message(one))?],
        all => pulpo.publish_all(all.iter().map(message))?,
    };
    Ok(sent.iter().map(|message| message.id().map(ToString::to_string).unwrap_or_default()).collect())
}
