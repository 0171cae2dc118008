use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email")]
fn send_email(_: SendEmail) {}

#[pulpo::handler("send_letter")]
fn send_letter(_: SendEmail) {}

fn main() {}

//~ SendEmail
