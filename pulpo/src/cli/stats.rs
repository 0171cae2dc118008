//! `stats`: shows how many messages there are, and how fast they come and go.

use std::io::Write;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use serde::Serialize;

use super::show::{self, ago};
use super::table::{Cell, Column, Table, Tone};
use super::{Done, Format, terminal};
use crate::config::parse_duration;
use crate::instance::Pulpo;
use crate::queue::spool::{Spool, Spooled};
use crate::queue::{Counts, QueueError, Stats, Totals};
use crate::report::chain;

/// A pause for longer than this is shown as one until resumed.
pub(super) const FOR_GOOD: chrono::TimeDelta = chrono::TimeDelta::days(365 * 100);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stats                      count messages that wait, run and are buried
  stats --watch              the same every two seconds, with rates
  stats --watch 10s --json   one line of JSON every ten seconds

READY messages wait for a worker, the oldest since OLDEST; DELAYED ones wait for their time; a worker has RESERVED ones; \
BURIED ones failed for good. Rates are per second since the last refresh; FINISHED/S counts done, expired and deleted \
messages. On a narrow terminal they are called IN/S and OUT/S, and some columns are omitted.")]
pub(super) struct StatsArguments {
    /// Repeat until Ctrl-C [default interval: 2s]
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "2s", value_parser = interval)]
    watch: Option<Duration>,
    #[command(flatten)]
    format: Format,
}

pub(super) fn interval(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        short if short < Duration::from_millis(100) => Err(format!("expected at least 100ms, got {text:?}")),
        interval => Ok(interval),
    }
}

/// A reading of the queue, with the rates since the previous one.
#[derive(Serialize)]
struct Reading {
    at: DateTime<Utc>,
    #[serde(flatten)]
    stats: Stats,
    /// The content of the spool, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    spool: Option<Spooled>,
    /// Empty at the first reading.
    rates: Vec<Rate>,
}

/// The rates of a queue: messages that come and go, per second.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Rate {
    /// The queue; `None` for all together.
    queue: Option<String>,
    published: f64,
    finished: f64,
}

pub(super) fn run(pulpo: &Pulpo, arguments: &StatsArguments, out: &mut dyn Write) -> Done {
    let Some(interval) = arguments.watch else {
        let (at, stats, spool) = (Utc::now(), pulpo.queue().stats()?, spooled(pulpo));
        // The numbers of the queue are shown even if the spool cannot be read.
        let (spool, unread) = match spool {
            Ok(spool) => (spool, None),
            Err(error) => (None, Some(error)),
        };
        let reading = Reading { at, stats, spool, rates: Vec::new() };
        if arguments.format.json {
            show::json(out, &reading)?;
        } else {
            plain(pulpo, &reading, false, out)?;
        }
        let away = show::unreachable(&reading.stats.unreachable).err().map(|error| error.to_string());
        let unread = unread.map(|error| format!("cannot read the spool: {}", chain(&error)));
        let problems: Vec<String> = away.into_iter().chain(unread).collect();
        return if problems.is_empty() { Ok(()) } else { Err(problems.join("; ").into()) };
    };
    let mut before: Option<(Instant, Vec<Totals>)> = None;
    loop {
        let began = Instant::now();
        match pulpo.queue().stats() {
            Ok(stats) => {
                let rates = before.as_ref().map_or_else(Vec::new, |(then, totals)| {
                    rates(totals, &stats.totals, began.saturating_duration_since(*then))
                });
                before = Some((began, stats.totals.clone()));
                let spool = spooled(pulpo).unwrap_or_else(|error| {
                    tracing::warn!("cannot read the spool: {}", chain(&error));
                    None
                });
                let reading = Reading { at: Utc::now(), stats, spool, rates };
                if arguments.format.json {
                    show::json_line(out, &reading)?;
                } else {
                    refresh(pulpo, &reading, interval, out)?;
                }
            }
            // It may be back at the next reading.
            Err(error) if error.is_transient() => tracing::warn!("{}", chain(&error)),
            Err(error) => return Err(error.into()),
        }
        out.flush()?;
        std::thread::sleep(interval);
    }
}

fn spooled(pulpo: &Pulpo) -> Result<Option<Spooled>, QueueError> {
    pulpo.queue().spool().map(Spool::spooled).transpose()
}

/// Returns the rates between two readings, for queues that were counted in both.
fn rates(before: &[Totals], now: &[Totals], passed: Duration) -> Vec<Rate> {
    let seconds = passed.as_secs_f64().max(f64::EPSILON);
    let per_second = |before: u64, now: u64| Some(now.checked_sub(before)? as f64 / seconds);
    let rate = |now: &Totals| {
        let before = before.iter().find(|before| before.queue == now.queue)?;
        // A server's counts restart at zero if its queue was gone in between.
        Some(Rate {
            queue: now.queue.clone(),
            published: per_second(before.published, now.published)?,
            finished: per_second(before.finished, now.finished)?,
        })
    };
    now.iter().filter_map(rate).collect()
}

/// Replaces the previous output on a terminal; elsewhere prints below it.
fn refresh(pulpo: &Pulpo, reading: &Reading, interval: Duration, out: &mut dyn Write) -> Done {
    let mut text = Vec::new();
    let at = reading.at.to_rfc3339_opts(SecondsFormat::Secs, true);
    writeln!(text, "{at}, every {}", humantime::format_duration(interval))?;
    plain(pulpo, reading, true, &mut text)?;
    if terminal::can_move() {
        // Move to the top, clear the rest of each line, and then everything below.
        let text = fitted(&String::from_utf8_lossy(&text), terminal::height()).replace('\n', "\x1b[K\n");
        write!(out, "\x1b[H{text}\x1b[J")?;
    } else {
        text.push(b'\n');
        out.write_all(&text)?;
    }
    Ok(())
}

/// Cuts the text so that it does not scroll on a terminal of this height; the cursor takes the last row.
fn fitted(text: &str, height: Option<usize>) -> String {
    let count = text.lines().count();
    let Some(room) = height.map(|height| height.saturating_sub(1)).filter(|room| count > *room) else {
        return text.to_owned();
    };
    let shown = room.saturating_sub(1);
    let mut cut: String = text.lines().take(shown).flat_map(|line| [line, "\n"]).collect();
    cut.push_str(&format!("… {}\n", show::counted((count - shown) as u64, "more row")));
    cut
}

const COLUMNS: [Column; 8] = [
    Column::new("QUEUE"),
    Column::new("TYPE"),
    Column::new("READY"),
    Column::new("DELAYED").short("DELAY").spare(3),
    Column::new("RESERVED").short("RESRV").spare(4),
    Column::new("BURIED"),
    Column::new("TOTAL").spare(1),
    Column::new("OLDEST").spare(2),
];

const RATES: [Column; 2] =
    [Column::new("PUBLISHED/S").short("IN/S").spare(5), Column::new("FINISHED/S").short("OUT/S").spare(6)];

fn plain(pulpo: &Pulpo, reading: &Reading, rated: bool, out: &mut dyn Write) -> Done {
    let Reading { stats, rates, .. } = reading;
    let mut table = Table::new(COLUMNS.into_iter().chain(RATES.into_iter().filter(|_| rated)));
    let mut row = |counts: &Counts, rate: Option<&Rate>| {
        let mut cells = vec![
            counts.queue.clone().into(),
            counts.request_type.clone().into(),
            Cell::count(counts.ready, Tone::Good),
            Cell::count(counts.delayed, Tone::Plain),
            Cell::count(counts.reserved, Tone::Busy),
            Cell::count(counts.buried, Tone::Bad),
            counts.total().to_string().into(),
            counts.oldest_ready.map(ago).unwrap_or_default().into(),
        ];
        if rated {
            cells.push(rate.map_or_else(String::new, |rate| format!("{:.1}", rate.published)).into());
            cells.push(rate.map_or_else(String::new, |rate| format!("{:.1}", rate.finished)).into());
        }
        table.row(cells);
    };
    for counts in &stats.counts {
        row(counts, rates.iter().find(|rate| rate.queue.as_deref() == Some(counts.queue.as_str())));
    }
    if stats.counts.len() != 1 || rated {
        row(&all(&stats.counts), sum(rates).as_ref());
    }
    write!(out, "{table}")?;
    for paused in &stats.paused {
        show::note(out, &format!("PAUSED {} {}", show::visible(&paused.queue), until(paused.until)))?;
    }
    for unreachable in &stats.unreachable {
        show::note(out, &format!("{} does not answer", show::visible(&unreachable.server)))?;
    }
    for warning in &stats.warnings {
        show::note(out, &format!("SLOW {}", show::visible(warning)))?;
    }
    if let Some(Spooled { waiting, oldest, refused, .. }) =
        reading.spool.as_ref().filter(|it| it.waiting + it.refused > 0)
    {
        let oldest = oldest.map(|since| format!(", the oldest since {}", show::age(since))).unwrap_or_default();
        let refused = if *refused > 0 { format!("; {refused} were refused") } else { String::new() };
        show::note(out, &format!("SPOOL {waiting} wait for a server{oldest}{refused}"))?;
    }
    if !pulpo.queue().capabilities().stats_by_type {
        show::note(out, "this queue does not count by request type; `list --type` looks at each message")?;
    }
    Ok(())
}

/// Formats the end of a pause: `until 2026-11-23T09:00:00Z (in 10m)`.
pub(super) fn until(time: DateTime<Utc>) -> String {
    if time - Utc::now() > FOR_GOOD { "until it is resumed".to_owned() } else { format!("until {}", show::age(time)) }
}

fn all(counts: &[Counts]) -> Counts {
    let mut all = Counts::new("all", "");
    for counts in counts {
        all.ready += counts.ready;
        all.delayed += counts.delayed;
        all.reserved += counts.reserved;
        all.buried += counts.buried;
        all.oldest_ready = all.oldest_ready.into_iter().chain(counts.oldest_ready).min();
    }
    all
}

fn sum(rates: &[Rate]) -> Option<Rate> {
    let add = |all: Rate, one: &Rate| Rate {
        queue: None,
        published: all.published + one.published,
        finished: all.finished + one.finished,
    };
    let none = Rate { queue: None, published: 0.0, finished: 0.0 };
    (!rates.is_empty()).then(|| rates.iter().fold(none, add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_taller_than_the_terminal_is_cut() {
        let text = "1\n2\n3\n4\n5\n";
        assert_eq!([fitted(text, None), fitted(text, Some(6))], [text, text]);
        assert_eq!(fitted(text, Some(5)), "1\n2\n3\n… 2 more rows\n");
        assert_eq!(fitted(text, Some(4)), "1\n2\n… 3 more rows\n");
    }

    #[test]
    fn rates_are_of_what_was_counted_in_both_looks() {
        let mail = |published, finished| Totals::new(Some("mail".to_owned()), published, finished);
        let new = Totals::new(Some("new".to_owned()), 5, 5);
        let rated = rates(&[mail(100, 50)], &[mail(120, 51), new], Duration::from_secs(2));
        assert_eq!(rated, [Rate { queue: Some("mail".to_owned()), published: 10.0, finished: 0.5 }]);
        assert!(rates(&[mail(100, 50)], &[mail(3, 0)], Duration::from_secs(2)).is_empty(), "it counts from zero again");
        assert_eq!(sum(&rated).map(|all| all.published), Some(10.0));
        assert_eq!(sum(&[]), None);
    }
}
