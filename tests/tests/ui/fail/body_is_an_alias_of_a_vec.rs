#[derive(serde::Serialize, serde::Deserialize)]
struct Line;

type Lines = Vec<Line>;

#[pulpo::handler("line", batch = 5)]
fn line(_: Lines) {}

fn main() {}

//~ Lines => write `Vec<Lines>`, spelt out if that is an alias
