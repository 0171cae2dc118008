use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email")]
fn send_email(_: SendEmail) {}

#[derive(Serialize, Deserialize)]
struct Invoice {
    total: u32,
}

fn main() {
    let email = SendEmail { to: String::new() };
    let _ = pulpo::publish(&email);
    let _ = pulpo::publish::<SendEmail>(&email);
    let _ = pulpo::publish_all(&[email]);
}

//~ &email => a type is a job if some `
//~ &email => a type is a job if some `
//~ pulpo::publish_all(&[email]) => a type is a job if some `
