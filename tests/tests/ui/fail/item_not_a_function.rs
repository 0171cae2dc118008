use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email")]
pub struct Email;

#[pulpo::handler("send_email")]
impl Email {}

#[pulpo::handler("send_email")]
mod mail {}

fn main() {}
