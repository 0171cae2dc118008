use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", backoff = "0s..1h")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ "0s..1h" => expected a backoff longer than zero, got `0s..1h`: a job that fails would be run again at once
