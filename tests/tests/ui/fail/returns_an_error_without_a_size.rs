use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping) -> Result<(), dyn std::error::Error> {
    Ok(())
}

fn main() {}

//~ Result<(), dyn std::error::Error>
//~ Ok(())
