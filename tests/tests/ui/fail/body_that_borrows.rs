use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[derive(Serialize, Deserialize)]
struct Text<'a> {
    text: &'a str,
}

#[pulpo::handler("send_text")]
fn send_text(_: Text<'_>) {}

fn main() {}

//~ '_ => expected a body that owns its content, got the lifetime `'_`: the message is gone when the job runs
