use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send")]
fn send<T: Serialize>(_: T) {}

fn main() {}

//~ <T: Serialize> => write a handler for each
