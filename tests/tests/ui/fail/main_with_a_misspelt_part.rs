#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping) {}

pulpo::main! { stup: |app| app.state(5u8) }

//~ stup => did you mean `setup`?
