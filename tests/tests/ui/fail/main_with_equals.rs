#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping) {}

pulpo::main! { setup = |app| app.state(5u8) }

//~ setup => expected `setup: |app| app.state(…)`, got `setup` without a colon
