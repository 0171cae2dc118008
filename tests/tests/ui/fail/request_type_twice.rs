use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", "sendmail")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ "sendmail" => write `alias = "sendmail"`
