use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email")]
fn send_email(_: SendEmail) -> Result<u32, std::io::Error> {
    Ok(0)
}

fn main() {}

//~ Result<u32, std::io::Error> => expected `()` or `Result<(), E>`, where `E` is a std error that is `Send + Sync`, `Box<dyn Error + Send + Sync>`, `anyhow::Error` or `pulpo::Failure`
