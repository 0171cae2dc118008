//! The version that writes `to`.

use std::io::Write as _;

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Order {
    id: u64,
    to: String,
}

/// Records that it ran.
#[pulpo::handler("order")]
fn order(order: Order) -> std::io::Result<()> {
    let mut record = std::fs::OpenOptions::new().create(true).append(true).open("record")?;
    writeln!(record, "order {} for {}", order.id, order.to)
}

pulpo::main!();
