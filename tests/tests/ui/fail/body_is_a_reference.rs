use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email")]
fn send_email(_: &SendEmail) {}

#[pulpo::handler("send_email_mut")]
fn send_email_mut(_: &mut SendEmail) {}

fn main() {}

//~ &SendEmail => write `SendEmail`
//~ &mut SendEmail => write `SendEmail`
