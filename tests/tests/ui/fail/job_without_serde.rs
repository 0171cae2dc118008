#[derive(pulpo::Job)]
#[job("send_email")]
struct SendEmail {
    to: String,
}

#[pulpo::handler]
fn send_email(_: SendEmail) {}

fn main() {}

//~ SendEmail => it needs serde's two traits: `#[derive(serde::Serialize, serde::Deserialize)]`
