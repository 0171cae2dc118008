//! Reminders for the appointments of a day: delays, expirations, and a job that
//! overtakes all others.
//!
//! ```text
//! cargo run -p pulpo-examples --bin reminders
//! ```
//!
//! It shows: a schedule that reports every eight hours how many patients were
//! reminded; `delay`, so that each reminder comes an hour before its
//! appointment; `expiration`, so that none comes after it; `priority`, so that
//! the news of a doctor's illness overtakes the rest; how to delete a job; and
//! that all jobs wait while no worker runs: this practice starts its
//! worker at half past ten.
//!
//! The day is in `data/appointments.csv` and runs fast: an hour takes a quarter
//! of a second.
#![allow(clippy::print_stdout, reason = "it talks to a person")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{io, thread};

use anyhow::Context as _;
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use pulpo::config::Sources;
use pulpo::queue::Filter;
use pulpo::{Config, Context, Message, Pulpo, State};
use serde::{Deserialize, Serialize};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/appointments.csv");
/// The number of seconds of the day that pass in a real second.
const SPEED: i32 = 4 * 3600;
const OPENS: NaiveTime = NaiveTime::from_hms_opt(8, 0, 0).expect("a time");
const WORKER_STARTS: NaiveTime = NaiveTime::from_hms_opt(10, 30, 0).expect("a time");

#[derive(Clone, Serialize, Deserialize)]
struct Appointment {
    time: NaiveTime,
    name: String,
    phone: String,
    doctor: String,
}

/// A day that began when the program started, and the number of messages sent.
struct Day(DateTime<Utc>, AtomicUsize);

impl Day {
    /// Converts a time of that day to the real time.
    fn at(&self, time: NaiveTime) -> DateTime<Utc> {
        self.0 + (time - OPENS) / SPEED
    }

    fn now(&self) -> NaiveTime {
        OPENS + (Utc::now() - self.0) * SPEED
    }
}

#[derive(Serialize, Deserialize)]
struct Remind(Appointment);

#[pulpo::handler("remind")]
fn remind(Remind(appointment): Remind, day: State<Day>) {
    let Appointment { time, name, phone, doctor } = appointment;
    say(&day, &phone, &format!("{name}, {doctor} expects you at {}", time.format("%H:%M")));
}

/// More urgent than all other jobs by default.
#[derive(Serialize, Deserialize)]
struct CallOff(Appointment);

#[pulpo::handler("call_off", priority = 0)]
fn call_off(CallOff(appointment): CallOff, day: State<Day>, context: &Context) {
    let Appointment { time, name, phone, doctor } = appointment;
    let why = context.header().get("why").and_then(|why| why.as_str()).unwrap_or("away");
    say(&day, &phone, &format!("{name}, do not come at {}: {doctor} is {why}", time.format("%H:%M")));
}

/// A schedule publishes this job: it runs every two real seconds, which are eight hours of that day. A
/// practice would write `cron = "0 18 * * MON-FRI", tz = "Europe/Berlin"`.
#[derive(Default, Serialize, Deserialize)]
struct Overview {}

#[pulpo::handler("overview", every = "2s")]
fn overview(_: Overview, day: State<Day>) {
    println!("{}  {} messages went out so far", day.now().format("%H:%M"), day.1.load(Ordering::Relaxed));
}

/// Replaces the text message that a practice would send.
fn say(day: &Day, phone: &str, text: &str) {
    day.1.fetch_add(1, Ordering::Relaxed);
    println!("{}  {phone:<18} {text}", day.now().format("%H:%M"));
}

fn main() -> anyhow::Result<()> {
    // The log shows the expired reminders.
    let level = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(level).with_writer(io::stderr).with_ansi(false).without_time().init();

    let mut reader = csv::Reader::from_path(FILE).with_context(|| format!("cannot read {FILE}"))?;
    let appointments = reader.deserialize().collect::<Result<Vec<Appointment>, _>>()?;

    let mut sources = Sources::default();
    // One lane, so that you can see the order, and an end some hours after the last reminder.
    sources.set_default("concurrency", "1").set_default("sleep_duration", "1s");
    sources.set_default("shutdown_after_number_of_empty_iterations", "1");
    let pulpo = Pulpo::new(Config::load_from(&sources)?)?;

    // In the morning, the whole day is planned.
    let day = Day(Utc::now(), AtomicUsize::new(0));
    let planned = pulpo.publish_all(appointments.iter().cloned().map(|appointment| {
        let (remind_at, too_late) = (appointment.time - TimeDelta::hours(1), appointment.time);
        Message::new(Remind(appointment)).delay(day.at(remind_at)).expiration(day.at(too_late))
    }))?;
    println!("{}  {} reminders are planned", day.now().format("%H:%M"), planned.len());

    // No worker runs yet. Due jobs wait, in their order, until they expire.
    thread::sleep((day.at(WORKER_STARTS) - Utc::now()).to_std().unwrap_or(Duration::ZERO));

    // Published last, run first.
    let noon = NaiveTime::from_hms_opt(12, 0, 0).expect("a time");
    for (appointment, reminder) in appointments.into_iter().zip(&planned) {
        if appointment.doctor == "Dr. Okafor" && appointment.time > noon {
            pulpo.publish(Message::new(CallOff(appointment)).header("why", "ill"))?;
            // A waiting job can be deleted by its id.
            if let Some(id) = reminder.id() {
                pulpo.queue().delete(&Filter::all().id(id.clone()))?;
            }
        }
    }

    println!("{}  the worker is switched on", day.now().format("%H:%M"));
    let summary = pulpo.worker()?.state(day).run()?;
    println!("{} jobs done, {} reminders were too late", summary.done, summary.expired);
    Ok(())
}
