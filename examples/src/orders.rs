//! The orders of a shop, as its till exports them: `data/orders.csv`.

use anyhow::Context as _;
use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/orders.csv");

/// One order: a line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// Unlike any other's.
    pub number: u32,
    /// On which day.
    pub placed: NaiveDate,
    /// Who.
    pub customer: String,
    /// As it was typed into a form: it may be anything.
    pub email: String,
    /// Where the goods go.
    pub street: String,
    /// The same.
    pub town: String,
    /// Its code of two letters.
    pub country: String,
    /// What.
    pub item: String,
    /// How many.
    pub quantity: u32,
    /// What it costs, all together.
    #[serde(with = "rust_decimal::serde::str")]
    pub amount: Decimal,
    /// In which money: a code of three letters.
    pub currency: String,
    /// What that was in euros on the day.
    #[serde(with = "rust_decimal::serde::str")]
    pub eur: Decimal,
    /// Whether the money is there.
    pub status: Status,
}

/// Whether the money for an order is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is.
    Paid,
    /// Not yet.
    Unpaid,
}

/// Reads the orders, and says what is wrong with each line that is not one.
///
/// # Errors
/// If the file cannot be read at all.
pub fn read() -> anyhow::Result<(Vec<Order>, Vec<String>)> {
    let cannot = || format!("cannot read {FILE}");
    let mut reader = csv::Reader::from_path(FILE).with_context(cannot)?;
    let head = reader.headers().with_context(cannot)?.clone();
    let (mut orders, mut faults) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record = match record {
            Err(error) if error.is_io_error() => return Err(error).with_context(cannot),
            other => other,
        };
        match record.and_then(|record| record.deserialize(Some(&head))) {
            Ok(order) => orders.push(order),
            Err(error) => faults.push(describe(&error, &head)),
        }
    }
    Ok((orders, faults))
}

/// `line 48: quantity: invalid digit found in string`.
fn describe(error: &csv::Error, head: &csv::StringRecord) -> String {
    let line = error.position().map_or(0, csv::Position::line);
    match error.kind() {
        csv::ErrorKind::Deserialize { err, .. } => {
            let column = err.field().and_then(|field| head.get(usize::try_from(field).ok()?));
            let column = column.map(|column| format!("{column}: ")).unwrap_or_default();
            format!("line {line}: {column}{}", err.kind())
        }
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("line {line}: expected {expected_len} fields, got {len}")
        }
        _ => error.to_string(),
    }
}
