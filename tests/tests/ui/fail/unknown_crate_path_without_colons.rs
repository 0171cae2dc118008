#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping", crate = framework::pulpo)]
fn ping(_: Ping) {}

fn main() {
    let _ = pulpo::publish(Ping);
}

//~ framework => leave `crate` out
