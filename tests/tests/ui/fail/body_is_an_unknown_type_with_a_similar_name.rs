use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email")]
fn send_email(_: SendEmial) {}

fn main() {}

//~ SendEmial => help: a struct with a similar name exists
