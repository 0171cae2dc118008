use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_something")]
fn send_something(_: impl Serialize) {}

#[pulpo::handler("send_dyn")]
fn send_dyn(_: dyn Send) {}

fn main() {}
