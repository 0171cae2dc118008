#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping) {}

pulpo::main! { crates: [] setup: |app| app.state(5u8) }

//~ setup => expected a comma between two parts
