use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", queue = "e-mail:out")]
fn send_email(_: SendEmail) {}

fn main() {}
