use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", timeout = "0s")]
fn send_email(_: SendEmail) {}

fn main() {}
