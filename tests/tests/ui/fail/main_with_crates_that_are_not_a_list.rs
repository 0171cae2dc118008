#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping) {}

pulpo::main! { crates: serde }

//~ serde => expected a list, `crates: [my_jobs]`, got `serde`
