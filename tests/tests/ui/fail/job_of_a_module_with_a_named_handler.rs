#[pulpo::jobs]
mod jobs {
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, pulpo::Job)]
    #[job("ping")]
    pub struct Ping;
}

#[pulpo::handler("ping")]
fn ping(_: jobs::Ping) {}

fn main() {}

//~ Ping
//~ "ping"
