use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Line {
    text: String,
}

#[pulpo::handler("line", batch = 100)]
fn ingest(_: Line) {}

#[pulpo::handler("line_by_reference", batch = 100)]
fn ingest_by_reference(_: &[Line]) {}

fn main() {}

//~ Line => write `Vec<Line>`, spelt out if that is an alias
//~ &[Line] => write `Vec<Line>`, spelt out if that is an alias
