#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
#[pulpo::handler("pong")]
fn ping(_: Ping) {}

fn main() {}

//~ Ping
