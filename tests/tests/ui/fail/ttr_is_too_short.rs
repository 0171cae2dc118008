use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", ttr = "500ms")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ "500ms" => expected a ttr of at least "1s", got `500ms`
