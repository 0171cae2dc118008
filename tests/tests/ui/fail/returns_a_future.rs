use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email")]
fn send_email(_: SendEmail) -> impl Future<Output = ()> {
    async {}
}

fn main() {}
