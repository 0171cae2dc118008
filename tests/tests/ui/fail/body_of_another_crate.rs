use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_json")]
fn send_json(_: serde_json::Value) {}

fn main() {}
