//! Text for people and programs: tables, times, JSON, and nothing that moves
//! their cursor.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::{Attribute, Color, ContentArrangement, presets};
use serde::Serialize;

use super::{Done, terminal};
use crate::queue::State;

/// More lines of one message in a table on a terminal hide the others.
const MOST_LINES: usize = 3;

/// What says to be narrower does not know how wide it is.
const NARROWEST: u16 = 20;

/// The text with control characters written out, and others that deceive who
/// reads it, so that what a message holds cannot write
/// anywhere else on the screen.
pub(super) fn visible(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if c.is_control() || deceives(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
        shown
    })
}

/// Whether it ends a line, is not seen, or turns the direction of writing
/// around, without being a control character.
fn deceives(c: char) -> bool {
    matches!(
        c,
        '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{200b}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// As JSON on several lines, with all that [`visible`] writes out escaped.
pub(super) fn json(out: &mut dyn Write, value: &impl Serialize) -> Done {
    writeln!(out, "{}", escaped(&serde_json::to_string_pretty(value)?))?;
    Ok(())
}

/// The same on one line.
pub(super) fn json_line(out: &mut dyn Write, value: &impl Serialize) -> Done {
    writeln!(out, "{}", escaped(&serde_json::to_string(value)?))?;
    Ok(())
}

/// JSON may hold such characters in texts, and there only; what is left of
/// them is beyond ASCII's own.
pub(super) fn escaped(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut shown, c| {
        if c != '\n' && (c.is_control() || deceives(c)) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| shown.push_str(&format!("\\u{unit:04x}")));
        } else {
            shown.push(c);
        }
        shown
    })
}

/// What a cell means, for those who see colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Busy,
    Bad,
    Quiet,
}

/// A text in a table.
pub(super) struct Cell(String, Tone);

impl Cell {
    pub(super) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self(text.into(), tone)
    }

    /// Quiet if there is none, else with this tone.
    pub(super) fn count(count: u64, tone: Tone) -> Self {
        Self(count.to_string(), if count == 0 { Tone::Quiet } else { tone })
    }

    pub(super) fn state(state: State) -> Self {
        let tone = match state {
            State::Ready => Tone::Good,
            State::Reserved => Tone::Busy,
            State::Buried => Tone::Bad,
            State::Delayed => Tone::Plain,
        };
        Self(state.to_string(), tone)
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self(text.into(), Tone::Plain)
    }
}

/// Columns under a head; on a terminal as wide as that, else as wide as
/// needed, a line for each row.
pub(super) struct Table {
    table: comfy_table::Table,
    fits: bool,
}

impl Table {
    pub(super) fn new<'a>(head: impl IntoIterator<Item = &'a str>) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_preset(presets::NOTHING);
        let width = terminal::is_terminal().then(|| table.width().filter(|width| *width >= NARROWEST).unwrap_or(80));
        // Whether to colour is decided here, and not by the crate.
        table.force_no_tty();
        if let Some(width) = width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        let mut head: Vec<_> = head.into_iter().map(comfy_table::Cell::new).collect();
        if terminal::is_coloured() {
            table.enforce_styling();
            head = head.into_iter().map(|cell| cell.add_attribute(Attribute::Bold)).collect();
        }
        table.set_header(head);
        Self { table, fits: width.is_some() }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells = cells.into_iter().map(|Cell(text, tone)| {
            let cell = comfy_table::Cell::new(visible(&text));
            match tone {
                Tone::Plain => cell,
                Tone::Good => cell.fg(Color::Green),
                Tone::Busy => cell.fg(Color::Yellow),
                Tone::Bad => cell.fg(Color::Red),
                Tone::Quiet => cell.add_attribute(Attribute::Dim),
            }
        });
        let mut row = comfy_table::Row::from(cells.collect::<Vec<_>>());
        if self.fits {
            row.max_height(MOST_LINES);
        }
        self.table.add_row(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table.trim_fmt().fmt(f)
    }
}

/// `3m`: nobody asks for the seconds of what is hours away.
pub(super) fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let unit = match seconds {
        0..60 => 1,
        60..3600 => 60,
        3600..86_400 => 3600,
        _ => 86_400,
    };
    humantime::format_duration(Duration::from_secs(seconds / unit * unit)).to_string()
}

/// `3m ago`, or `in 3m`.
pub(super) fn ago(time: DateTime<Utc>) -> String {
    let passed = Utc::now() - time;
    let size = passed.abs().to_std().unwrap_or_default();
    if passed.num_milliseconds() < 0 { format!("in {}", rough(size)) } else { format!("{} ago", rough(size)) }
}

/// `2026-11-23T09:00:00Z (3m ago)`.
pub(super) fn age(time: DateTime<Utc>) -> String {
    format!("{} ({})", time.to_rfc3339_opts(SecondsFormat::Secs, true), ago(time))
}

/// `1 message`, `7 messages`.
pub(super) fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_message_looks_like_something_else() {
        let text = "\u{85}\u{2028}\u{e0041}👩\u{200d}🔬";
        assert_eq!(visible(text), "\\u{85}\\u{2028}\\u{e0041}👩\u{200d}🔬");
        let shown = escaped(&serde_json::to_string(text).unwrap());
        assert_eq!(shown, "\"\\u0085\\u2028\\udb40\\udc41👩\u{200d}🔬\"");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
    }

    #[test]
    fn nothing_in_a_message_moves_the_cursor() {
        assert_eq!(visible("a\u{1b}[2Jb\nc\td\u{9b}é\u{202e}"), "a\\u{1b}[2Jb\\nc\\td\\u{9b}é\\u{202e}");
        let hostile = serde_json::to_string("a\u{1b}\u{7f}\u{9b}é\u{202e}").unwrap();
        let shown = escaped(&hostile);
        assert_eq!(shown, r#""a\u001b\u007f\u009bé\u202e""#);
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), "a\u{1b}\u{7f}\u{9b}é\u{202e}");
    }
}
