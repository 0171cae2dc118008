use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email")]
const unsafe extern "C" fn send_email(_: SendEmail) {}

fn main() {}
