//! The table for readers, as Markdown that also reads well in a terminal.

use std::fmt::Write as _;

use crate::measure::{Row, Target};

const HEAD: [&str; 6] = ["", "pulpo", "limit", "of what", "ratio", "aim"];

pub(crate) fn markdown(rows: &[Row]) -> String {
    let cells: Vec<[String; 6]> = std::iter::once(HEAD.map(str::to_owned)).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..HEAD.len()).map(width).collect();
    let mut text = String::new();
    for (index, row) in cells.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "| {cell:<width$} ");
        }
        text.push_str("|\n");
        if index == 0 {
            for width in &widths {
                let _ = write!(text, "| {:-<width$} ", "");
            }
            text.push_str("|\n");
        }
    }
    text
}

fn cells(row: &Row) -> [String; 6] {
    let (limit, of) = row.limit.map_or((String::new(), ""), |(of, limit)| (number(limit), of));
    let aim = row.target.map_or(String::new(), |target| {
        let aim = match target {
            Target::Ratio(least) => format!("≥ {}", (least * 100.0).round() / 100.0),
            Target::AtLeast(least) => format!("≥ {}", number(least)),
            Target::Below(most) => format!("< {}", number(most)),
        };
        let mark = if row.reached() == Some(true) { "" } else { " (missed)" };
        format!("{aim}{mark}")
    });
    let ratio = row.ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
    [row.name.clone(), format!("{} {}", number(row.value), row.unit), limit, of.to_owned(), ratio, aim]
}

/// Formats a number with some three significant digits, and separates thousands.
fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        return match value.abs() {
            0.0 => "0".to_owned(),
            small if small < 1.0 => format!("{value:.3}"),
            small if small < 10.0 && value.fract() != 0.0 => format!("{value:.2}"),
            _ if value.fract() == 0.0 => format!("{value:.0}"),
            _ => format!("{value:.1}"),
        };
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}
