//! `publish`: jobs from the command line.

use std::error::Error;
use std::io::{Read as _, Write};
use std::ops::Range;

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;
use serde_json::value::RawValue;

use super::show::{self, counted};
use super::{Done, Format, terminal};
use crate::config::parse_duration;
use crate::instance::Pulpo;
use crate::message::{Message, MessageId, When, only_payload};
use crate::producer::PublishError;
use crate::queue::QueueError;
use crate::registry::{Handler, Registry};
use crate::report::chain;

/// So many messages go into the queue at once.
const BATCH: usize = 1000;

/// So many bad lines are told about.
const MOST_TOLD: usize = 10;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  publish send_email --body '{\"to\": \"a@b.c\", \"subject\": \"hello\"}'
  publish send_email --body @email.json --delay 10m --priority 0
  echo '{\"to\": \"a@b.c\"}' | my-worker publish send_email --body -
  publish echo --payload 'hello world' --count 100 --header source=test
  publish send_email --lines @emails.jsonl     a job for each line of the file

The body is checked before anything is queued: what does not fit the type of the handler is refused, with the field that
is wrong. Of --lines nothing is published if one of them is bad, unless --skip-bad is given.")]
pub(super) struct PublishArguments {
    /// The request type, as `handlers` shows it
    request_type: String,
    /// The body: JSON, - for standard input, or @FILE
    #[arg(long, value_name = "JSON|-|@FILE")]
    body: Option<String>,
    /// A text as the whole body: {"payload": TEXT}
    #[arg(long, value_name = "TEXT", conflicts_with = "body")]
    payload: Option<String>,
    /// A body on each line, as JSON: of standard input, or of a file
    #[arg(long, value_name = "-|@FILE", conflicts_with_all = ["body", "payload", "count"], value_parser = lines)]
    lines: Option<String>,
    /// Leave out lines that are bad
    #[arg(long, requires = "lines", conflicts_with_all = ["body", "payload", "count"])]
    skip_bad: bool,
    /// 0 is the most urgent, 4294967295 the least [default: the handler's]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    priority: Option<i64>,
    /// Not before: a duration such as 10m, or a time such as 2026-11-23T09:00:00Z
    #[arg(long, value_name = "D", value_parser = when)]
    delay: Option<When>,
    /// Not after: a time, or a duration from now
    #[arg(long, value_name = "T", value_parser = when)]
    expiration: Option<When>,
    /// A header of your own; several by saying it again
    #[arg(long = "header", value_name = "KEY=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// So many of them
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    #[command(flatten)]
    format: Format,
}

/// A time, or a duration from now.
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

pub(super) fn run(
    arguments: &PublishArguments,
    open: impl FnOnce() -> Result<Pulpo, Box<dyn Error>>,
    out: &mut dyn Write,
) -> Done {
    let registry = Registry::collect()?;
    let wanted = &arguments.request_type;
    let handler = registry.get(wanted).ok_or_else(|| match registry.nearest(wanted) {
        Some(nearest) => format!("no handler for the request type {wanted:?}; did you mean {nearest:?}?"),
        None => format!("no handler for the request type {wanted:?}; this program serves: {}", registry.known()),
    })?;
    let bodies = Bodies::read(arguments, handler)?;
    let ids = publish(arguments, handler, &bodies, &open()?)?;
    if arguments.format.json {
        return show::json_line(out, &json!({ "request_type": handler.request_type(), "ids": ids }));
    }
    let name = handler.request_type();
    match ids.as_slice() {
        [one] => writeln!(out, "published {name} as message {one}")?,
        [first, .., last] => writeln!(out, "published {name} {} times, as messages {first} to {last}", ids.len())?,
        [] => writeln!(out, "published nothing: there is no line with a body")?,
    }
    Ok(())
}

fn publish(
    arguments: &PublishArguments,
    handler: &'static Handler,
    bodies: &Bodies,
    pulpo: &Pulpo,
) -> Result<Vec<MessageId>, Box<dyn Error>> {
    let all = bodies.len();
    let mut ids = Vec::with_capacity(all);
    let progress = (all > BATCH).then(|| terminal::progress(all as u64));
    while ids.len() < all {
        let end = all.min(ids.len() + BATCH);
        let messages = (ids.len()..end).map(|at| Ok(message(arguments, bodies.at(at)?)));
        let messages = messages.collect::<Result<Vec<_>, serde_json::Error>>()?;
        match pulpo.producer().enqueue(handler.request_type(), handler.policy(), messages) {
            Ok(sent) => ids.extend(sent.iter().filter_map(|message| message.id().cloned())),
            Err(error) => return Err(bodies.broke_off(ids.len(), error)),
        }
        if let Some(progress) = &progress {
            progress.set_position(ids.len() as u64);
        }
    }
    if let Some(progress) = progress {
        progress.finish_and_clear();
    }
    Ok(ids)
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

/// What is to be published; all of it fits the handler.
enum Bodies {
    Same { body: Box<RawValue>, count: usize },
    Lines { text: String, good: Vec<Line> },
}

/// A line of a text, and its number from 1.
struct Line {
    number: usize,
    range: Range<usize>,
    /// The body is what is in its `{"payload": …}`.
    in_payload: bool,
}

impl Bodies {
    fn read(arguments: &PublishArguments, handler: &Handler) -> Result<Self, Box<dyn Error>> {
        if let Some(source) = &arguments.lines {
            return Self::lines(read(source)?, handler, arguments.skip_bad);
        }
        let body = body(arguments)?;
        let body = RawValue::from_string(fits(handler, body.get())?.to_owned())?;
        Ok(Self::Same { body, count: usize::try_from(arguments.count)? })
    }

    fn lines((from, text): (&str, String), handler: &Handler, skip_bad: bool) -> Result<Self, Box<dyn Error>> {
        let (mut good, mut bad, mut start) = (Vec::new(), 0_usize, 0);
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let range = start..start + line.len();
            start = range.end;
            if line.trim().is_empty() {
                continue;
            }
            let number = index + 1;
            let fit = serde_json::from_str::<&RawValue>(line.trim())
                .map_err(|error| format!("expected JSON: {error}").into())
                .and_then(|body| fits(handler, body.get()));
            match fit {
                Ok(body) => good.push(Line { number, range, in_payload: body.len() < line.trim().len() }),
                Err(error) => {
                    bad += 1;
                    if bad <= MOST_TOLD {
                        let told = show::visible(&format!("line {number} of {from}: {}", chain(&*error)));
                        writeln!(std::io::stderr(), "{told}")?;
                    }
                }
            }
        }
        if bad > MOST_TOLD {
            writeln!(std::io::stderr(), "and {} more", counted((bad - MOST_TOLD) as u64, "bad line"))?;
        }
        if bad > 0 && !skip_bad {
            let all = bad + good.len();
            return Err(
                format!("{bad} of {all} lines are bad, and nothing was published; --skip-bad leaves them out").into()
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

    /// What is to be said when the queue did not take more than so many.
    fn broke_off(&self, published: usize, error: PublishError) -> Box<dyn Error> {
        let part = match &error {
            PublishError::Queue(QueueError::PartOfBatch { ids, .. }) => ids.len(),
            _ => 0,
        };
        let published = published + part;
        if published == 0 {
            return error.into();
        }
        let go_on = match self {
            Self::Lines { good, .. } => {
                let last = good[published - 1].number;
                format!("; it is published up to line {last}: go on with `tail -n +{}`", last + 1)
            }
            Self::Same { .. } => String::new(),
        };
        format!("published {published} of {}{go_on}: {}", self.len(), chain(&error)).into()
    }
}

/// The body in this text, which fits the handler.
fn fits<'text>(handler: &Handler, text: &'text str) -> Result<&'text str, Box<dyn Error>> {
    let unfit =
        |error| format!("the body does not fit {} of {:?}: {error}", handler.body_type(), handler.request_type());
    Ok(handler.body_in(text).map_err(unfit)?)
}

/// The body as JSON, from wherever the arguments say.
fn body(arguments: &PublishArguments) -> Result<Box<RawValue>, Box<dyn Error>> {
    if let Some(payload) = &arguments.payload {
        return Ok(serde_json::value::to_raw_value(payload)?);
    }
    let (from, text) = match arguments.body.as_deref() {
        None => ("the body", "{}".to_owned()),
        Some(source) if source == "-" || source.starts_with('@') => read(source)?,
        Some(given) => ("--body", given.to_owned()),
    };
    serde_json::from_str(text.trim()).map_err(|error| format!("expected JSON in {from}: {error}").into())
}

/// All of standard input or of a file, and what to call it.
fn read(source: &str) -> Result<(&str, String), Box<dyn Error>> {
    let (from, text) = match source.strip_prefix('@') {
        Some(file) => (file, std::fs::read_to_string(file)),
        None => {
            let mut text = String::new();
            ("standard input", std::io::stdin().read_to_string(&mut text).map(|_| text))
        }
    };
    Ok((from, text.map_err(|error| format!("cannot read {from}: {error}"))?))
}
