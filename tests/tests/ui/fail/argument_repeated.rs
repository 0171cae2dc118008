use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", queue = "mail", priority = 10, queue = "post")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ queue => keep one of them
