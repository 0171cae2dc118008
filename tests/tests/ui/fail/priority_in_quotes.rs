use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", priority = "10")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ "10" => write 10 without the quotes
