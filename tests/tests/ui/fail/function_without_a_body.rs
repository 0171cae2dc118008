use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

trait Mailer {
    #[pulpo::handler("send_email")]
    fn send_email(_: SendEmail);
}

fn main() {}

//~ fn send_email(_: SendEmail) => expected a function with a body: a declaration cannot handle a job
