use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler(queue = "mail")]
fn send_email(_: SendEmail) {}

fn main() {}
