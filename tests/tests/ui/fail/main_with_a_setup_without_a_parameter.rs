#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping) {}

pulpo::main! { setup: || () }

//~ | => help: consider changing the closure to take and ignore the expected argument
