//! A version that does not read what the ones before wrote.

use std::io::Write as _;

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    recipient: Recipient,
}

#[derive(Debug, Serialize, Deserialize)]
struct Recipient {
    name: String,
}

/// Writes down that it ran.
#[pulpo::handler("order")]
fn order(order: Order) -> std::io::Result<()> {
    let mut record = std::fs::OpenOptions::new().create(true).append(true).open("record")?;
    writeln!(record, "order {} for {}", order.id, order.recipient.name)
}

pulpo::main!();
