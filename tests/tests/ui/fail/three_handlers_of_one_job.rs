use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, pulpo::Job)]
#[job("ping")]
struct Ping;

#[pulpo::handler]
fn first(_: Ping) {}

#[pulpo::handler]
async fn second(_: Ping) {}

mod more {
    use super::Ping;

    #[pulpo::handler]
    fn third(_: Ping) {}
}

fn main() {}

//~ Ping => remove_one_of_the_two
