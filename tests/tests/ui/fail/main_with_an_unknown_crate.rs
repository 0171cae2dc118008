#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping) {}

pulpo::main! { crates: [my_jobs] }

//~ my_jobs => unresolved import `my_jobs`
