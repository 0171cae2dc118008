use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", backoff = "0s..1h")]
fn send_email(_: SendEmail) {}

fn main() {}
