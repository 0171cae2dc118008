use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Line {
    text: String,
}

#[pulpo::handler("line", batch = 0, linger = 2)]
fn ingest(_: Vec<Line>) {}

fn main() {}

//~ 0 => expected a number of messages from 1 to 4294967295, got `0`
//~ 2 => write "2s" for seconds
