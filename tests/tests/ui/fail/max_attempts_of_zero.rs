use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", max_attempts = 0)]
fn send_email(_: SendEmail) {}

fn main() {}

//~ 0 => expected a number of runs from 1 to 4294967295, got `0`
