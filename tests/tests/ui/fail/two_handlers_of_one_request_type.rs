use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[derive(Serialize, Deserialize)]
struct SendLetter {
    to: String,
}

#[pulpo::handler("send")]
fn send_email(_: SendEmail) {}

#[pulpo::handler("send_letter", alias = "send")]
fn send_letter(_: SendLetter) {}

fn main() {}
