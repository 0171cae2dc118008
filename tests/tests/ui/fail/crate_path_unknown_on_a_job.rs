#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("ping", crate = ::framework)]
struct Ping;

fn main() {}

//~ framework => could not find `framework` in the list of imported crates
