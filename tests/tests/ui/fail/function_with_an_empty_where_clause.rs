use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping)
where
{
}

#[derive(Serialize, Deserialize, pulpo::Job)]
#[job("pong")]
struct Pong
where
{
    n: u8,
}

fn main() {}

//~ where => expected a handler without a `where` clause
//~ where => expected a job without a `where` clause
