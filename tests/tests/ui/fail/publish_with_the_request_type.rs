use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail;

#[pulpo::handler("send_email")]
fn send_email(_: SendEmail) {}

fn main() {
    let _ = pulpo::publish("send_email", SendEmail);
}

//~ pulpo::publish
//~ "send_email"
