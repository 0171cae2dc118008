//! `relay`: moves jobs from outboxes to the queue, without a worker.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use clap::Args;
use serde_json::json;

use super::show::{self, counted};
use super::{Done, Format, WrongUsage};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::instance::Pulpo;
use crate::outbox::{OutboxUrl, Relay, RouteOf};
use crate::process::signals;
use crate::queue::backend::Purpose;
use crate::registry::Registry;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  relay                     run until Ctrl-C, for each database in the key `outbox`
  relay --set outbox=sqlite:shop.db
  relay --once              move the jobs that are there now

A worker with the key `outbox` does the same beside its jobs. Any number of both may run at once.")]
pub(super) struct RelayArguments {
    /// Move the jobs that are there, then exit
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(config: Config, arguments: &RelayArguments, out: &mut dyn Write) -> Done {
    if config.worker.outbox.is_empty() {
        let expected = "no outbox is configured: expected the key `outbox`, such as --set outbox=sqlite:shop.db";
        return Err(WrongUsage(expected.to_owned()).into());
    }
    let pulpo = Pulpo::for_command(config, Purpose::Publication)?;
    let urls = &pulpo.options().outbox;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (registry, default_queue) = (Arc::new(Registry::collect()?), pulpo.options().default_queue.clone());
    let relay = |url: &OutboxUrl| {
        let (registry, default_queue) = (registry.clone(), default_queue.clone());
        let route_of: RouteOf =
            Arc::new(move |request_type, body| registry.route_of(request_type, body, &default_queue));
        Relay::new(url.clone(), pulpo.queue().clone(), route_of, clock.clone(), pulpo.options().outbox_poll)
    };
    let (moved, refused) = if arguments.once {
        let (mut moved, mut refused) = (0, 0);
        for url in urls {
            let mut relay = relay(url);
            moved += relay.drain()?;
            refused += relay.refused_rows()?;
        }
        (moved, Some(refused))
    } else {
        (until_stopped(urls.iter().map(relay).collect())?, None)
    };
    if arguments.format.json {
        let mut said = json!({ "moved": moved });
        if let Some(refused) = refused {
            said["refused"] = refused.into();
        }
        show::json(out, &said)?;
    } else {
        writeln!(out, "moved {}", counted(moved, "job"))?;
    }
    match refused.unwrap_or_default() {
        0 => Ok(()),
        refused => Err(format!("not all jobs were moved: the queue refuses {refused}, and the log says why").into()),
    }
}

/// Runs each relay on its own thread. Returns how many jobs they moved.
fn until_stopped(relays: Vec<Relay>) -> std::io::Result<u64> {
    let is_stopped = Arc::new(AtomicBool::new(false));
    let wakers: Vec<_> = relays.iter().map(|relay| relay.notify().clone()).collect();
    let stop = {
        let is_stopped = is_stopped.clone();
        move |_| {
            is_stopped.store(true, Ordering::SeqCst);
            wakers.iter().for_each(|waker| waker.notify());
        }
    };
    let _watch = signals::watch(stop)?;
    let threads = relays
        .into_iter()
        .map(|mut relay| {
            let is_stopped = is_stopped.clone();
            thread::Builder::new()
                .name("pulpo-relay".to_owned())
                .spawn(move || relay.run(|| is_stopped.load(Ordering::SeqCst)))
        })
        .collect::<std::io::Result<Vec<_>>>()?;
    Ok(threads.into_iter().map(|thread| thread.join().unwrap_or_default()).sum())
}
