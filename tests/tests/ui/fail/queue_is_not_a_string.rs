use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", queue = mail)]
fn send_email(_: SendEmail) {}

fn main() {}

//~ mail => write "mail"
