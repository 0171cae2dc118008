use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_text")]
fn send_text(_: String) {}

#[pulpo::handler("send_emails")]
fn send_emails(_: Vec<SendEmail>) {}

#[pulpo::handler("send_pair")]
fn send_pair(_: (String, u32)) {}

#[pulpo::handler("send_nothing")]
fn send_nothing(_: ()) {}

fn main() {}
