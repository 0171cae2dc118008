//~ (the end of the file)
#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping) {}

fn run() {
    pulpo::main!();
}
