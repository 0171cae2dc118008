use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, pulpo::Job)]
#[job("line", batch = 100)]
struct Line {
    text: String,
}

fn main() {}

//~ batch => write it there, `#[pulpo::handler(batch = 100)]`
