use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

struct Mailer;

impl Mailer {
    #[pulpo::handler("send_email")]
    fn send_email(&self, _: SendEmail) {}
}

fn main() {}

//~ &self => expected a free function as handler, got a method: a worker has no `self` to call it on
