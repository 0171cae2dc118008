#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping", crate = ::serde)]
fn ping(_: Ping) {}

fn main() {}

//~ ping => could not find `__private` in `serde`
