use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", priority = 4294967296)]
fn send_email(_: SendEmail) {}

fn main() {}

//~ 4294967296 => expected a priority from 0, the most urgent, to 4294967295, got `4294967296`
