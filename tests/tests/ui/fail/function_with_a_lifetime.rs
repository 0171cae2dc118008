use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email")]
fn send_email<'a>(_: &'a SendEmail) {}

fn main() {}

//~ <'a> => expected a handler without lifetimes: take the body by value, of a type that owns its content
