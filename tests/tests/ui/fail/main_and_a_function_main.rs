#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping) {}

pulpo::main!();

fn main() {}

//~ pulpo::main!() => must be defined only once in the value namespace of this module
