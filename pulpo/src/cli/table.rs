//! Tables that fit the terminal.
//!
//! Outside a terminal, each row is one line of any length. On a terminal that is too narrow for that, in this order:
//! heads are abbreviated, prose is wrapped between words, dispensable columns are left out and named below, and in the
//! end each row becomes a block of lines. A value is broken only if it is longer than a whole line of the terminal.
//!
//! The crate `comfy-table` breaks words to narrow columns and cannot leave a column out; without these, only a few
//! lines of it would be used.

use std::fmt;

use super::show::visible;
use super::terminal;
use super::text::{width, wrap};
use crate::queue::{MessageState, StoredMessage};

/// The maximum number of lines of one cell on a terminal; more would crowd out the other rows.
const MOST_LINES: usize = 3;

/// The minimum width of a column of prose, unless its texts are shorter.
const PROSE: usize = 20;

/// The length from which on a word in prose may be broken.
const LONG_WORD: usize = 40;

/// The meaning of a cell, shown as a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Busy,
    Bad,
    Quiet,
    Head,
}

impl Tone {
    /// Returns the number of ANSI's "Select Graphic Rendition".
    const fn code(self) -> Option<u8> {
        match self {
            Self::Plain => None,
            Self::Good => Some(32),
            Self::Busy => Some(33),
            Self::Bad => Some(31),
            Self::Quiet => Some(2),
            Self::Head => Some(1),
        }
    }

    fn paint(self, text: &str, coloured: bool) -> String {
        match self.code().filter(|_| coloured && !text.is_empty()) {
            Some(code) => format!("\x1b[{code}m{text}\x1b[0m"),
            None => text.to_owned(),
        }
    }
}

/// A cell of a table.
#[derive(Clone, Debug)]
pub(super) struct Cell(String, Tone);

impl Cell {
    pub(super) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self(visible(&text.into()), tone)
    }

    /// Formats a count: quiet if it is 0, otherwise with this tone.
    pub(super) fn count(count: u64, tone: Tone) -> Self {
        Self(count.to_string(), if count == 0 { Tone::Quiet } else { tone })
    }

    pub(super) fn state(message: &StoredMessage) -> Self {
        let tone = match message.state {
            MessageState::Ready => Tone::Good,
            MessageState::Reserved => Tone::Busy,
            MessageState::Buried => Tone::Bad,
            MessageState::Delayed | MessageState::Done => Tone::Plain,
        };
        let word = if message.has_expired { "expired" } else { message.state.as_str() };
        Self(word.to_owned(), tone)
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// A column: its head, and how it may change on a narrow terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    head: &'static str,
    short: &'static str,
    prose: bool,
    spare: Option<u8>,
}

impl Column {
    pub(super) const fn new(head: &'static str) -> Self {
        Self { head, short: head, prose: false, spare: None }
    }

    /// Sets an abbreviated head for narrow terminals.
    pub(super) const fn short(mut self, short: &'static str) -> Self {
        self.short = short;
        self
    }

    /// Allows wrapping its texts between words.
    pub(super) const fn prose(mut self) -> Self {
        self.prose = true;
        self
    }

    /// Allows leaving it out, in this order: the smallest number first.
    pub(super) const fn spare(mut self, order: u8) -> Self {
        self.spare = Some(order);
        self
    }
}

/// Rows of cells under heads.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    /// The width of the terminal in columns; `None` if it does not matter.
    width: Option<usize>,
    coloured: bool,
}

/// The natural and the minimum width of a column.
struct Measure {
    natural: usize,
    least: usize,
}

/// The layout of a table.
#[derive(Debug, PartialEq, Eq)]
enum Layout {
    /// These columns, by number and width, with abbreviated heads or not.
    Columns { shown: Vec<(usize, usize)>, short: bool },
    /// One line for each cell.
    Blocks,
}

impl Table {
    pub(super) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self {
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
            width: terminal::width(),
            coloured: terminal::is_coloured(),
        }
    }

    /// Adds a row with a cell for each column.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn texts(&self, column: usize) -> impl Iterator<Item = &str> {
        self.rows.iter().filter_map(move |row| row.get(column)).map(|cell| cell.0.as_str())
    }

    fn measured(&self) -> Vec<Measure> {
        let measure = |(at, column): (usize, &Column)| {
            let natural = self.texts(at).map(width).max().unwrap_or(0);
            let longest_word = || self.texts(at).flat_map(str::split_whitespace).map(width).max().unwrap_or(0);
            let narrow = self.width.is_some() && column.prose;
            Measure {
                natural,
                least: if narrow { longest_word().clamp(PROSE, LONG_WORD).min(natural) } else { natural },
            }
        };
        self.columns.iter().enumerate().map(measure).collect()
    }

    fn layout(&self) -> Layout {
        let measures = self.measured();
        let mut columns: Vec<usize> = (0..self.columns.len()).collect();
        let room = self.width.unwrap_or(usize::MAX);
        loop {
            let widths = |width_of: &dyn Fn(&Measure, &Column) -> usize| -> Vec<(usize, usize)> {
                columns.iter().map(|&at| (at, width_of(&measures[at], &self.columns[at]))).collect()
            };
            let whole = widths(&|measure, column| measure.natural.max(width(column.head)));
            if taken(&whole) <= room {
                return Layout::Columns { shown: whole, short: false };
            }
            let whole = widths(&|measure, column| measure.natural.max(width(column.short)));
            let mut shown = widths(&|measure, column| measure.least.max(width(column.short)));
            // A column without any text can go.
            let says_nothing = |at: &usize| *at > 0 && measures[*at].natural == 0;
            if taken(&whole) > room
                && let Some(at) = columns.iter().position(says_nothing)
            {
                columns.remove(at);
                continue;
            }
            if taken(&shown) <= room {
                let mut left = room - taken(&shown);
                for ((_, wide), (_, whole)) in shown.iter_mut().zip(whole) {
                    let more = left.min(whole - *wide);
                    *wide += more;
                    left -= more;
                }
                return Layout::Columns { shown, short: true };
            }
            match columns.iter().filter_map(|&at| Some((self.columns[at].spare?, at))).min() {
                Some((_, least)) => columns.retain(|&at| at != least),
                None => return Layout::Blocks,
            }
        }
    }

    fn write_columns(&self, f: &mut fmt::Formatter<'_>, shown: &[(usize, usize)], short: bool) -> fmt::Result {
        let head = |&(at, _): &(usize, usize)| {
            let Column { head, short: abbreviated, .. } = self.columns[at];
            (if short { abbreviated } else { head }, Tone::Head)
        };
        self.write_line(f, shown, shown.iter().map(head))?;
        for row in &self.rows {
            let cells: Vec<_> = shown.iter().map(|&(at, wide)| (self.lines(at, &row[at].0, wide), row[at].1)).collect();
            let height = cells.iter().map(|(lines, _)| lines.len()).max().unwrap_or(0).max(1);
            for number in 0..height {
                let line = cells.iter().map(|(lines, tone)| (lines.get(number).map_or("", String::as_str), *tone));
                self.write_line(f, shown, line)?;
            }
        }
        // A column without any text is not named.
        let says_something = |at: &usize| self.texts(*at).any(|text| !text.is_empty());
        let is_left_out = |at: &usize| shown.iter().all(|(shown, _)| shown != at) && says_something(at);
        let left_out: Vec<_> = (0..self.columns.len()).filter(is_left_out).collect();
        if left_out.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = left_out.into_iter().map(|at| self.columns[at].head).collect();
        let note = format!("not shown on a terminal of this width: {}", names.join(", "));
        for line in wrap(&note, self.width.unwrap_or(usize::MAX)) {
            writeln!(f, "{}", Tone::Quiet.paint(&line, self.coloured))?;
        }
        Ok(())
    }

    fn write_line<'a>(
        &self,
        f: &mut fmt::Formatter<'_>,
        shown: &[(usize, usize)],
        cells: impl Iterator<Item = (&'a str, Tone)>,
    ) -> fmt::Result {
        let mut blank = 0;
        for (&(_, wide), (text, tone)) in shown.iter().zip(cells) {
            blank += 1;
            if !text.is_empty() {
                write!(f, "{:blank$}{}", "", tone.paint(text, self.coloured))?;
                blank = 0;
            }
            blank += wide.saturating_sub(width(text)) + 1;
        }
        writeln!(f)
    }

    fn write_blocks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let room = self.width.unwrap_or(usize::MAX);
        let names = self.columns.iter().map(|column| width(column.head)).max().unwrap_or(0);
        for (number, row) in self.rows.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            for (at, Cell(text, tone)) in row.iter().enumerate().filter(|(_, cell)| !cell.0.is_empty()) {
                let head = self.columns[at].head;
                // A word that does not fit beside its name may fit below it.
                let beside = names + 3;
                let fits = text.split_whitespace().all(|word| width(word) + beside <= room);
                let below = if text.split_whitespace().all(|word| width(word) + 3 <= room) { 3 } else { 1 };
                let indent = if fits { beside } else { below };
                let gap = if fits { beside - 1 - width(head) } else { 0 };
                write!(f, " {}{:gap$}", Tone::Head.paint(head, self.coloured), "")?;
                for (number, line) in self.lines(at, text, room.saturating_sub(indent)).iter().enumerate() {
                    if number > 0 || !fits {
                        write!(f, "\n{:indent$}", "")?;
                    }
                    write!(f, "{}", tone.paint(line, self.coloured))?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }

    /// Breaks a cell's text into lines of this width; prose into no more than [`MOST_LINES`].
    fn lines(&self, column: usize, text: &str, wide: usize) -> Vec<String> {
        if self.width.is_none() {
            return vec![text.to_owned()];
        }
        let mut lines = wrap(text, wide);
        if self.columns[column].prose && lines.len() > MOST_LINES {
            lines.truncate(MOST_LINES);
            if let Some(last) = lines.last_mut() {
                while width(last) >= wide && last.pop().is_some() {}
                last.push('…');
            }
        }
        lines
    }
}

/// Returns the width of a line of these columns, with a space on both sides of each; the last space is not written.
fn taken(columns: &[(usize, usize)]) -> usize {
    columns.iter().map(|(_, wide)| wide + 2).sum::<usize>().saturating_sub(1)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.layout() {
            Layout::Columns { shown, short } => self.write_columns(f, &shown, short),
            Layout::Blocks => self.write_blocks(f),
        }
    }
}

#[cfg(test)]
mod tests;
