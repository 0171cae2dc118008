//! `publish`: publishes jobs from the command line.

use std::error::Error;
use std::io::Write;
use std::ops::Range;

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;
use serde_json::value::RawValue;

use super::input::{BATCH, BadLines, handler_of, read};
use super::interrupt::Interrupt;
use super::show::{self, counted};
use super::{Done, Format, Open, WrongUsage, publish_messages, terminal};
use crate::config::parse_duration;
use crate::instance::Pulpo;
use crate::keys::Publication;
use crate::message::{Message, MessageId, When, WireBody, only_payload};
use crate::producer::PublishError;
use crate::queue::QueueError;
use crate::registry::{Handler, Registry};
use crate::report::chain;

/// Approximate size in bytes of the bodies in a batch. A signal stops the command between two batches.
const BATCH_BYTES: usize = 4 << 20;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  publish send_email --body '{\"to\": \"a@b.c\", \"subject\": \"hello\"}'
  publish send_email --body @email.json --delay 10m --priority 0
  echo '{\"to\": \"a@b.c\"}' | my-worker publish send_email --body -
  publish echo --payload 'hello world' --count 100 --header source=test
  publish send_email --lines @emails.jsonl   one job per line of the file
  publish send_email --lines @emails.jsonl --from-line 3001
                                             continue where it broke off
  publish --messages @messages.jsonl         whole messages from another program

Bodies are checked before anything is queued: one that does not fit the type of the handler is refused, with the field \
that is wrong. If one of --lines is bad, nothing is published, unless you pass --skip-bad. If publishing many jobs is \
interrupted, for example by a signal, it says how many are published and how to continue.")]
pub(super) struct PublishArguments {
    /// The request type, as `handlers` shows it
    #[arg(required_unless_present = "messages")]
    request_type: Option<String>,
    /// Whole messages including the header, one per line, from standard input or
    /// a file
    #[arg(
        long,
        value_name = "-|@FILE",
        value_parser = lines,
        conflicts_with_all = [
            "request_type", "body", "payload", "lines", "skip_bad", "from_line", "priority", "delay", "expiration",
            "headers", "count",
        ]
    )]
    messages: Option<String>,
    /// The body: JSON, - for standard input, or @FILE
    #[arg(long, value_name = "JSON|-|@FILE")]
    body: Option<String>,
    /// A string as the whole body: {"payload": TEXT}
    #[arg(long, value_name = "TEXT", conflicts_with = "body")]
    payload: Option<String>,
    /// Bodies as JSON, one per line, from standard input or a file
    #[arg(long, value_name = "-|@FILE", conflicts_with_all = ["body", "payload", "count"], value_parser = lines)]
    lines: Option<String>,
    /// Skip bad lines
    #[arg(long, requires = "lines", conflicts_with_all = ["body", "payload", "count"])]
    skip_bad: bool,
    /// Start at this line of --lines, counted from 1
    #[arg(long, value_name = "N", requires = "lines", conflicts_with_all = ["body", "payload", "count"], value_parser = clap::value_parser!(u64).range(1..))]
    from_line: Option<u64>,
    /// Priority: 0 is the most urgent, 4294967295 the least [default: the handler's]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i64>,
    /// Earliest start: a duration such as 10m, or a time such as 2026-11-23T09:00:00Z
    #[arg(long, value_name = "D", value_parser = when)]
    delay: Option<When>,
    /// Latest start: a time, or a duration from now
    #[arg(long, value_name = "T", value_parser = when)]
    expiration: Option<When>,
    /// A header of your own (repeatable)
    #[arg(long = "header", value_name = "KEY=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Number of copies to publish
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    #[command(flatten)]
    format: Format,
}

/// Reads a time, or a duration from now.
fn when(text: &str) -> Result<When, String> {
    if let Ok(time) = text.parse::<DateTime<Utc>>() {
        return Ok(When::At(time));
    }
    parse_duration(text)
        .map(When::In)
        .map_err(|_| format!("expected a duration such as 10m or a time such as 2026-11-23T09:00:00Z, got {text:?}"))
}

fn lines(text: &str) -> Result<String, String> {
    let known = text == "-" || text.len() > 1 && text.starts_with('@');
    if known { Ok(text.to_owned()) } else { Err("expected - for standard input, or @FILE".to_owned()) }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    if key.is_empty() { Err("expected a name before the =".to_owned()) } else { Ok((key.to_owned(), value.to_owned())) }
}

pub(super) fn run(arguments: &PublishArguments, open: Open<'_>, out: &mut dyn Write) -> Done {
    if let Some(source) = &arguments.messages {
        return publish_messages::run(source, arguments.format, open, out);
    }
    let registry = Registry::collect()?;
    let wanted = arguments.request_type.as_deref().unwrap_or_default();
    let handler = handler_of(&registry, wanted)?;
    can_ever_run(arguments)?;
    let bodies = Bodies::read(arguments, handler)?;
    let (ids, publications, end) = publish(arguments, handler, &bodies, &open()?)?;
    let told = tell(arguments.format, handler.request_type(), &bodies, (&ids, &publications), end.as_deref(), out);
    match end {
        None => told.map_err(|error| untold(handler.request_type(), &ids, error)),
        // The cause of the interruption matters more than the closed output.
        Some(why) => Err(bodies.how_to_go_on(ids.len(), &why).into()),
    }
}

/// Refuses messages that would be deleted without a run.
fn can_ever_run(arguments: &PublishArguments) -> Result<(), WrongUsage> {
    let now = Utc::now();
    let Some(expiration) = arguments.expiration.map(|when| when.from(now)) else { return Ok(()) };
    let begin = arguments.delay.map_or(now, |when| when.from(now)).max(now);
    if expiration <= begin {
        return Err(WrongUsage(format!(
            "expected an expiration after the job can begin, at {}, got {}: it would never run",
            show::at(begin),
            show::at(expiration)
        )));
    }
    Ok(())
}

/// Prints the published messages.
fn tell(
    format: Format,
    name: &str,
    bodies: &Bodies,
    (ids, publications): (&[MessageId], &[Publication]),
    broken_off: Option<&str>,
    out: &mut dyn Write,
) -> Done {
    match (ids, broken_off) {
        (_, Some(why)) if format.json => {
            let next_line = bodies.next_line(ids.len());
            let told = json!({
                "request_type": name, "ids": ids, "of": bodies.len(), "next_line": next_line, "error": why,
            });
            show::json_line(out, &told)?;
        }
        (_, Some(_)) => {}
        (_, None) if format.json => {
            let mut told = json!({ "request_type": name, "ids": ids });
            if publications.iter().any(|one| *one != Publication::New) {
                told["publications"] = publications.iter().map(|one| one.as_str()).collect();
            }
            show::json_line(out, &told)?;
        }
        ([one], None) => {
            let publication = publications.first().copied().unwrap_or_default();
            writeln!(out, "{}", show::publication(name, one, publication))?;
        }
        ([first, .., last], None) => {
            let count = |publication| publications.iter().filter(|one| **one == publication).count();
            let mut told = format!("published {name} {} times, as messages {first} to {last}", ids.len());
            for publication in [Publication::Kept, Publication::Replaced].into_iter().filter(|one| count(*one) > 0) {
                told.push_str(&format!(", {publication} {}", count(publication)));
            }
            writeln!(out, "{told}")?;
        }
        ([], None) => writeln!(out, "published nothing: there is no line with a body")?,
    }
    Ok(out.flush()?)
}

/// Returns the error for messages that were published but could not be printed.
fn untold(name: &str, ids: &[MessageId], error: Box<dyn Error>) -> Box<dyn Error> {
    if super::is_broken_pipe(&*error) || ids.is_empty() {
        return error;
    }
    let (first, last) = (&ids[0], &ids[ids.len() - 1]);
    format!(
        "published {name} {}, as messages {first} to {last}, but cannot print them: {error}",
        counted(ids.len() as u64, "time")
    )
    .into()
}

/// The ids of the published messages, the effect of each publication, and why there are no more.
type Sent = (Vec<MessageId>, Vec<Publication>, Option<String>);

fn publish(
    arguments: &PublishArguments,
    handler: &'static Handler,
    bodies: &Bodies,
    pulpo: &Pulpo,
) -> Result<Sent, Box<dyn Error>> {
    let all = bodies.len();
    let mut ids = Vec::with_capacity(all);
    let mut publications = Vec::new();
    let interrupt = Interrupt::listen()?;
    let progress = (all > BATCH).then(|| terminal::progress(all as u64));
    let mut end = None;
    while ids.len() < all && end.is_none() {
        if interrupt.has_come() {
            end = Some("stopped by a signal".to_owned());
            break;
        }
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while messages.len() < BATCH && ids.len() + messages.len() < all && bytes < BATCH_BYTES {
            let body = bodies.at(ids.len() + messages.len())?;
            bytes += body.get().len();
            let keys = handler.keys(WireBody::as_written(body.get()))?;
            messages.push((message(arguments, body), keys));
        }
        match pulpo.producer().enqueue(handler.request_type(), handler.policy(), handler.shape(), messages) {
            Ok(sent) => {
                ids.extend(sent.iter().filter_map(|message| message.id().cloned()));
                publications.extend(sent.iter().map(Message::publication));
            }
            Err(error) => {
                end = Some(chain(&error));
                if let PublishError::Queue(QueueError::PartOfBatch { ids: part, .. }) = error {
                    ids.extend(part);
                } else if ids.is_empty() {
                    return Err(error.into());
                }
            }
        }
        if let Some(progress) = &progress {
            progress.set_position(ids.len() as u64);
        }
    }
    if let Some(progress) = progress {
        progress.finish_and_clear();
    }
    Ok((ids, publications, end))
}

fn message(arguments: &PublishArguments, body: Box<RawValue>) -> Message<Box<RawValue>> {
    let mut message = Message::new(body);
    if let Some(priority) = arguments.priority {
        message = message.priority(priority);
    }
    if let Some(delay) = arguments.delay {
        message = message.delay(delay);
    }
    if let Some(expiration) = arguments.expiration {
        message = message.expiration(expiration);
    }
    arguments.headers.iter().fold(message, |message, (key, value)| message.header(key.as_str(), value.as_str()))
}

/// The bodies to publish; all of them fit the handler.
enum Bodies {
    Same { body: Box<RawValue>, count: usize },
    Lines { text: String, good: Vec<Line> },
}

/// A line of a text, with its number from 1.
struct Line {
    number: usize,
    range: Range<usize>,
    /// Whether the body is the content of its `{"payload": …}`.
    in_payload: bool,
}

impl Bodies {
    fn read(arguments: &PublishArguments, handler: &Handler) -> Result<Self, Box<dyn Error>> {
        if let Some(source) = &arguments.lines {
            let first = arguments.from_line.map_or(Ok(1), usize::try_from)?;
            return Self::lines(read(source)?, first, handler, arguments.skip_bad);
        }
        let body = body(arguments)?;
        let body = RawValue::from_string(fits(handler, body.get())?.to_owned())?;
        Ok(Self::Same { body, count: usize::try_from(arguments.count)? })
    }

    fn lines(
        (from, text): (&str, String),
        first: usize,
        handler: &Handler,
        skip_bad: bool,
    ) -> Result<Self, Box<dyn Error>> {
        let (mut good, mut bad, mut start) = (Vec::new(), BadLines::of(from), 0);
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let range = start..start + line.len();
            start = range.end;
            let number = index + 1;
            if number < first || line.trim().is_empty() {
                continue;
            }
            let fit = serde_json::from_str::<&RawValue>(line.trim())
                .map_err(|error| format!("expected JSON: {error}").into())
                .and_then(|body| fits(handler, body.get()));
            match fit {
                Ok(body) => good.push(Line { number, range, in_payload: body.len() < line.trim().len() }),
                Err(error) => bad.report(number, &*error)?,
            }
        }
        let bad = bad.end()?;
        if bad > 0 && !skip_bad {
            let all = bad + good.len();
            return Err(
                format!("{bad} of {all} lines are bad, and nothing was published; --skip-bad skips them").into()
            );
        }
        Ok(Self::Lines { text, good })
    }

    fn len(&self) -> usize {
        match self {
            Self::Same { count, .. } => *count,
            Self::Lines { good, .. } => good.len(),
        }
    }

    fn at(&self, at: usize) -> Result<Box<RawValue>, serde_json::Error> {
        match self {
            Self::Same { body, .. } => Ok(body.clone()),
            Self::Lines { text, good } => {
                let line = text[good[at].range.clone()].trim();
                let payload = good[at].in_payload.then(|| only_payload(line)).flatten();
                RawValue::from_string(payload.unwrap_or(line).to_owned())
            }
        }
    }

    /// Returns the line after the last published one; `None` if the bodies are not lines.
    fn next_line(&self, published: usize) -> Option<usize> {
        match self {
            Self::Same { .. } => None,
            Self::Lines { good, .. } if published == 0 => good.first().map(|line| line.number),
            Self::Lines { good, .. } => good.get(published - 1).map(|line| line.number + 1),
        }
    }

    /// Returns the advice on how to continue a publication that was interrupted.
    fn how_to_go_on(&self, published: usize, why: &str) -> String {
        let all = self.len();
        let how = match self.next_line(published) {
            Some(line) => format!("continue with --from-line {line}"),
            None => format!("continue with --count {}", all - published),
        };
        format!("published {published} of {all}; {how}: {why}")
    }
}

/// Returns the body in this text, if it fits the handler.
fn fits<'text>(handler: &Handler, text: &'text str) -> Result<&'text str, Box<dyn Error>> {
    let unfit =
        |error| format!("the body does not fit {} of {:?}: {error}", handler.body_type(), handler.request_type());
    Ok(handler.body_in(text).map_err(unfit)?)
}

/// Returns the body as JSON, from the source that the arguments name.
fn body(arguments: &PublishArguments) -> Result<Box<RawValue>, Box<dyn Error>> {
    if let Some(payload) = &arguments.payload {
        return Ok(serde_json::value::to_raw_value(payload)?);
    }
    let (from, text) = match arguments.body.as_deref() {
        None => ("the body", "{}".to_owned()),
        Some(source) if source == "-" || source.starts_with('@') => read(source)?,
        Some(given) => ("--body", given.strip_prefix('\u{feff}').unwrap_or(given).to_owned()),
    };
    serde_json::from_str(text.trim()).map_err(|error| format!("expected JSON in {from}: {error}").into())
}
