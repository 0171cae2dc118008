use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Mail;

#[pulpo::handler("all")]
fn all(_: Vec<Mail>) {}

#[pulpo::handler("mail")]
fn mail(_: Mail) {}

fn main() {
    let _ = pulpo::publish(Mail);
}

//~ Vec<Mail> => or add `batch = 100`
