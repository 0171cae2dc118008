use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Line {
    text: String,
}

#[pulpo::handler("line", batch = 0, linger = 2)]
fn ingest(_: Vec<Line>) {}

fn main() {}
