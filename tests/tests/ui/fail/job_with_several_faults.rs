use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, pulpo::Job)]
#[job("send email", quee = "mail", ttr = 60)]
#[job("send_email")]
struct SendEmail<'a> {
    to: &'a str,
}

fn main() {}
