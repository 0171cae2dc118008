use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler(send_email, queue = "mail")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ send_email => write "send_email"
