use pulpo::{Context, State};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email")]
fn send_email(_: &Context, _: SendEmail) {}

#[pulpo::handler("send_email_later")]
fn send_email_later(_: State<String>, _: SendEmail) {}

fn main() {}

//~ &Context => write it after the body
//~ State<String> => write it after the body
