//! Text for people: tables, times, and nothing that moves their cursor.

use std::fmt;
use std::io::IsTerminal as _;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use comfy_table::{ContentArrangement, presets};

/// The text with control characters written out, so that what a message holds
/// cannot write anywhere else on the screen.
pub(super) fn visible(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if c.is_control() {
            shown.extend(c.escape_default())
        } else {
            shown.push(c)
        }
        shown
    })
}

/// Columns under a head; on a terminal as wide as that, else as wide as
/// needed.
pub(super) struct Table(comfy_table::Table);

impl Table {
    pub(super) fn new<const N: usize>(head: [&str; N]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_preset(presets::NOTHING).set_header(head);
        if std::io::stdout().is_terminal() {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        Self(table)
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.add_row(cells.into_iter().map(|cell| visible(&cell)));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.trim_fmt().fmt(f)
    }
}

/// `3m ago`, or `in 3m`.
pub(super) fn ago(time: DateTime<Utc>) -> String {
    let passed = Utc::now() - time;
    let rough = |duration: chrono::TimeDelta| {
        let seconds = duration.num_seconds().unsigned_abs();
        // Nobody asks for the seconds of what is hours away.
        let unit = match seconds {
            0..60 => 1,
            60..3600 => 60,
            3600..86_400 => 3600,
            _ => 86_400,
        };
        humantime::format_duration(Duration::from_secs(seconds / unit * unit)).to_string()
    };
    if passed.num_milliseconds() < 0 { format!("in {}", rough(-passed)) } else { format!("{} ago", rough(passed)) }
}

/// `2026-11-23T09:00:00Z (3m ago)`.
pub(super) fn age(time: DateTime<Utc>) -> String {
    format!("{} ({})", time.to_rfc3339_opts(SecondsFormat::Secs, true), ago(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_message_moves_the_cursor() {
        assert_eq!(visible("a\u{1b}[2Jb\nc\td\u{9b}é"), "a\\u{1b}[2Jb\\nc\\td\\u{9b}é");
    }
}
