use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Ping;

#[pulpo::handler("ping", retrys = 3, visibilty = "90s", concurency_key = 1, rate_limt = "10/1s")]
fn ping(_: Ping) {}

fn main() {}

//~ retrys => write `max_attempts = 5`
//~ visibilty => write `ttr = "60s"`
//~ concurency_key => write `limit_by(tenant) = 1`
//~ rate_limt => did you mean `rate`?
