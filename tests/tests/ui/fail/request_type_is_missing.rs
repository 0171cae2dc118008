use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler]
fn send_email(_: SendEmail) {}

fn main() {}

//~ SendEmail => put `#[pulpo::handler("its_name")]` on the function that processes it, or `#[derive(pulpo::Job)]` and `#[job("its_name")]` on the type
