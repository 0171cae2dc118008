#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping) {}

pulpo::main! { crates: ["my-jobs"] }

//~ "my-jobs" => write `my_jobs`
