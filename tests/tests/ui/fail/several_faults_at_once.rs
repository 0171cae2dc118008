use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send email", prioritty = 10, ttr = 60, queue = "-mail")]
async fn send_email(_: &SendEmail, _: u32) -> pulpo::Outcome {
    Ok(())
}

fn main() {}
