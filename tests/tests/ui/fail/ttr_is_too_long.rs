use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email", ttr = "4294967296s")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ "4294967296s" => expected at most 4294967295 seconds, some 136 years, got `4294967296s`: beanstalkd counts no further
