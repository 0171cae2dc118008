use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email")]
fn send_email(_: SendEmail)
where
    SendEmail: Sized,
{
}

fn main() {}

//~ where => expected a handler without a `where` clause: there is nothing that it could bound
