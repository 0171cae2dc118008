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

#[pulpo::handler("invoice")]
fn invoice(_: Invoice) {}

fn main() {
    let _ = pulpo::publish::<SendEmail>(Invoice { total: 1 });
    let _ = pulpo::publish::<SendEmail>(pulpo::Message::new(Invoice { total: 1 }));
}

//~ Invoice { total: 1 } => a type is a job if some `
//~ pulpo::Message::new(Invoice { total: 1 }) => a type is a job if some `
