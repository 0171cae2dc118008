use serde::Deserialize;

#[derive(Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ SendEmail => it needs serde's two traits: `#[derive(serde::Serialize, serde::Deserialize)]`
