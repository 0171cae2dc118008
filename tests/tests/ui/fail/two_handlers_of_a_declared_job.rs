#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("ping")]
pub struct Ping;

#[pulpo::handler]
fn first(_: Ping) {}

#[pulpo::handler(batch = 5)]
fn second(_: Vec<Ping>) {}

fn main() {}

//~ Ping => remove_one_of_the_two
