use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_something")]
fn send_something(_: _) {}

fn main() {}

//~ _ => the placeholder `_` is not allowed within types on item signatures for functions
