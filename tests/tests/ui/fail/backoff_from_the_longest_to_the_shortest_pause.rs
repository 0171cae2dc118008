use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", backoff = "1h..1s")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ "1h..1s" => write them the other way round
