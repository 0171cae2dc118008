use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, pulpo::Job)]
#[job("ping", crate = ::serde)]
struct Ping;

#[pulpo::handler]
fn ping(_: Ping) {}

fn main() {
    let _ = pulpo::publish(Ping);
}

//~ pulpo::Job
//~ Ping
//~ Ping
