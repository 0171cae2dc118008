#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping", crate = ::framework)]
fn ping(_: Ping) {}

fn main() {}

//~ framework => could not find `framework` in the list of imported crates
