use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", priority = 4294967296)]
fn send_email(_: SendEmail) {}

fn main() {}
