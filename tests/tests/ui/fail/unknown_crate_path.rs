#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping", crate = ::framework)]
fn ping(_: Ping) {}

fn main() {
    let _ = pulpo::publish(Ping);
}

//~ framework => leave `crate` out
