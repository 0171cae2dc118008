use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler(queue = "mail")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ queue => expected the request type as the first argument, `#[pulpo::handler("its_name", queue = "mail")]`; or, if the body type has `#[derive(pulpo::Job)]`, `queue = "mail"` in its `#[job(…)]`
