use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send email")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ "send email" => expected a request type of ASCII letters, digits and `-_.:/+;$()`, got ' ' in "send email"
