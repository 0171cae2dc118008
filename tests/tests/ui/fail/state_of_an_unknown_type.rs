#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping, _: pulpo::State<Pool>) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Pong;

#[pulpo::handler("pong")]
fn pong(_: Pong, _: Pol) {}

fn main() {}

//~ Pool => help: a builtin type with a similar name exists
//~ Pol => not found in this scope
