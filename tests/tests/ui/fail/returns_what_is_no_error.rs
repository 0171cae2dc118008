use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

struct NotAnError;

#[pulpo::handler("send_email")]
fn send_email(_: SendEmail) -> Result<(), NotAnError> {
    Ok(())
}

fn main() {}
