//! A version that reads version 1's messages, and writes messages that version 1 cannot read.

use std::io::Write as _;

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    #[serde(alias = "to")]
    recipient: String,
    #[serde(default)]
    express: bool,
}

/// Records that it ran.
#[pulpo::handler("order")]
fn order(order: Order) -> std::io::Result<()> {
    let mut record = std::fs::OpenOptions::new().create(true).append(true).open("record")?;
    writeln!(record, "order {} for {}", order.id, order.recipient)
}

pulpo::main!();
