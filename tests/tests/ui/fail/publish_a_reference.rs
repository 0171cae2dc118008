use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email")]
fn send_email(_: SendEmail) {}

#[derive(Serialize, Deserialize)]
struct Invoice {
    total: u32,
}

fn publish<J: pulpo::Job>(_: impl pulpo::IntoMessage<J>) {}

fn main() {
    let email = SendEmail { to: String::new() };
    publish(&email);
    publish::<SendEmail>(&email);
}
