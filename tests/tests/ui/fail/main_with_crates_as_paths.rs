#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping) {}

pulpo::main! { crates: [jobs::mail] }

//~ jobs::mail => expected the name of a crate, got `jobs::mail`
