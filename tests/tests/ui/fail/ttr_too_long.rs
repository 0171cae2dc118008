use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", ttr = "4294967296s")]
fn send_email(_: SendEmail) {}

fn main() {}
