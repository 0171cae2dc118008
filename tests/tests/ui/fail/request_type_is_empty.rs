use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ "" => expected a request type of 1 to 200 characters, got an empty string
