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
