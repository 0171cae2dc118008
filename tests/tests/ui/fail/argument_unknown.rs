use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", max_atempts = 5, colour = "red")]
fn send_email(_: SendEmail) {}

fn main() {}
