use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", queue = "-mail")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ "-mail" => expected a queue that does not begin with a hyphen, got `-mail`
