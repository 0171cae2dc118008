//! A job with a handler, and one that other programs work on.

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Own {
    n: u8,
}

#[pulpo::handler("own")]
fn own(_: Own) {}

#[derive(Serialize, Deserialize, pulpo::Job)]
#[job("only_declared", alias = "formerly", unique(n))]
struct OnlyDeclared {
    n: u8,
}

pulpo::main!();
