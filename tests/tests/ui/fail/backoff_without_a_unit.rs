use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", backoff = 5)]
fn send_email(_: SendEmail) {}

fn main() {}

//~ 5 => write "5s" for seconds
