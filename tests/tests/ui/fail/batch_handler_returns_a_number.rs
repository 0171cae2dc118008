use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Line {
    text: String,
}

#[pulpo::handler("line", batch = 100)]
fn ingest(_: Vec<Line>) -> usize {
    0
}

fn main() {}

//~ usize => expected `()` or `Result<(), E>` for all messages, or `Vec<pulpo::Outcome>` or `Result<Vec<pulpo::Outcome>, E>` for each
