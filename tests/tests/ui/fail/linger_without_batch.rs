use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Line {
    text: String,
}

#[pulpo::handler("line", linger = "2s")]
fn ingest(_: Line) {}

fn main() {}

//~ linger => expected `batch` beside `linger`: how many messages to wait for, `batch = 100`
