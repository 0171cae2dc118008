#[derive(serde::Serialize, serde::Deserialize)]
struct Line;

type Lines = Vec<Line>;

#[pulpo::handler("line")]
fn line(_: Lines) {}

fn main() {}

//~ Lines => define and implement a trait or new type instead
