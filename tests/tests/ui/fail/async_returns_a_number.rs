use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email")]
async fn send_email(_: SendEmail) -> u32 {
    1
}

fn main() {}
