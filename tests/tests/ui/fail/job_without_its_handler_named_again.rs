#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("ping")]
pub struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping) {}

fn main() {}

//~ Ping
