use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, pulpo::Job)]
#[job("ping")]
struct Ping;

#[pulpo::handler]
fn first(_: Ping) {}

#[pulpo::handler(batch = 2)]
fn second(_: Vec<Ping>) {}

fn main() {}

//~ Ping => remove_one_of_the_two
