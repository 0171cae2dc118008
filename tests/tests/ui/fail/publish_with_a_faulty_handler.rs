use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", ttr = 60)]
fn send_email(_: SendEmail) {}

fn main() {
    let _ = pulpo::publish(SendEmail { to: String::new() });
    send_email(SendEmail { to: String::new() });
}

//~ 60 => write "60s" for seconds
