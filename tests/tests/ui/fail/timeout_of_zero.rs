use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", timeout = "0s")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ "0s" => expected a timeout longer than zero: leave it out to let the job run as long as it likes
