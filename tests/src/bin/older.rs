//! A worker of an older version: it has handlers, but not those of `perils`.

use serde::{Deserialize, Serialize};

/// What there was from the beginning.
#[derive(Debug, Serialize, Deserialize)]
struct Known {}

#[pulpo::handler("known")]
fn known(_: Known) {}

pulpo::main!();
