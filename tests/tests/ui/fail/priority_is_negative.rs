use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", priority = -1)]
fn send_email(_: SendEmail) {}

fn main() {}

//~ -1 => expected a priority from 0, the most urgent, to 4294967295, got `- 1`
