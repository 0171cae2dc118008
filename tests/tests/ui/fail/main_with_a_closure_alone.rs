#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping) {}

pulpo::main!(|app| app.state(5u8));

//~ | => expected the parts of the program, got `|`: `pulpo::main! { crates: [my_jobs], setup: |app| app.state(…), jobs: [shared::jobs] }`, each of them optional
