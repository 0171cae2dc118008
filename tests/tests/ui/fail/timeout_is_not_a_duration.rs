use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", timeout = "soon")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ "soon" => expected a duration in a string such as "30s", got `soon`: expected number at 0
