use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email")]
async fn send_email(_: SendEmail) -> u32 {
    1
}

fn main() {}

//~ u32 => expected `()` or `Result<(), E>`, where `E` is a std error that is `Send + Sync`, `Box<dyn Error + Send + Sync>`, `anyhow::Error` or `pulpo::Failure`
