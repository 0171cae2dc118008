use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", backoff = "1s..=1h")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ "1s..=1h" => expected a backoff in a string such as "1s..1h", or "5s" if it does not grow, got `1s..=1h`: expected number at 0
