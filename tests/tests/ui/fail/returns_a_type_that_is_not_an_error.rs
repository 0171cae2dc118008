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

//~ Result<(), NotAnError> => expected `()` or `Result<(), E>`, where `E` is a std error that is `Send + Sync`, `Box<dyn Error + Send + Sync>`, `anyhow::Error` or `pulpo::Failure`
