#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping) {}

pulpo::main! { setup: |app| async { app.state(5u8) } }

//~ async => wait for a future in it with `app.block_on(…)`
