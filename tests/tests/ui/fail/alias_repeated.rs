use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", alias = "sendmail", alias = "sendmail", alias = "send_email")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ "sendmail" => remove it
//~ "send_email" => remove it
