//! The orders of a shop, as its till exports them: `data/orders.csv`.

use anyhow::Context as _;
use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/orders.csv");

/// One order, which is one line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The order number, which is unique.
    pub number: u32,
    /// The day of the order.
    pub placed: NaiveDate,
    /// The customer's name.
    pub customer: String,
    /// The address as typed into a form, which may be anything.
    pub email: String,
    /// The street of the delivery address.
    pub street: String,
    /// The town of the delivery address.
    pub town: String,
    /// The country, as a code of two letters.
    pub country: String,
    /// The item.
    pub item: String,
    /// The number of items.
    pub quantity: u32,
    /// The total price.
    #[serde(with = "rust_decimal::serde::str")]
    pub amount: Decimal,
    /// The currency of the price, as a code of three letters.
    pub currency: String,
    /// The price in euros on that day.
    #[serde(with = "rust_decimal::serde::str")]
    pub eur: Decimal,
    /// Whether the order is paid.
    pub status: Status,
}

/// The payment status of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Paid.
    Paid,
    /// Not paid yet.
    Unpaid,
}

/// Reads the orders. Returns them, and a description of each line that is not an order.
///
/// # Errors
/// Fails if the file cannot be read at all.
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

/// Describes an error like `line 48: quantity: invalid digit found in string`.
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
