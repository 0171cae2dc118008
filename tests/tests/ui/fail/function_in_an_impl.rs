use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[derive(Serialize, Deserialize, pulpo::Job)]
#[job("ping")]
struct Ping;

struct Mailer;

impl Mailer {
    #[pulpo::handler("send_email")]
    fn send_email(_: SendEmail) {}
}

trait Pings {
    #[pulpo::handler]
    fn ping(_: Ping) {}
}

fn main() {
    Mailer::send_email(SendEmail { to: String::new() });
}

//~ send_email => consider moving the implementation out to a nearby module scope
//~ ping => consider moving the implementation out to a nearby module scope
