use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler(queue = "mail", "send_email")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ "send_email" => expected the request type as the first argument, got it after others
