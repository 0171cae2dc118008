use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler(name = "send_email")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ name => write "send_email" as the first argument
