use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", queue = , priority, ttr: "60s", , 5)]
fn send_email(_: SendEmail) {}

fn main() {}
