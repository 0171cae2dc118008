//! A version that cannot read the messages of earlier versions.

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

/// Records that it ran.
#[pulpo::handler("order")]
fn order(order: Order) -> std::io::Result<()> {
    let mut record = std::fs::OpenOptions::new().create(true).append(true).open("record")?;
    writeln!(record, "order {} for {}", order.id, order.recipient.name)
}

pulpo::main!();
