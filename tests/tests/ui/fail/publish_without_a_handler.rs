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
    let _ = pulpo::publish(Invoice { total: 1 });
    let _ = pulpo::publish::<Invoice>(Invoice { total: 1 });
    let _ = pulpo::publish(pulpo::Message::new(Invoice { total: 1 }));
    let _ = pulpo::publish_all([Invoice { total: 1 }]);
    let _ = pulpo::publish_async(Invoice { total: 1 });
}

//~ Invoice { total: 1 } => a type is a job if some `
//~ Invoice { total: 1 } => a type is a job if some `
//~ pulpo::Message::new(Invoice { total: 1 }) => a type is a job if some `
//~ pulpo::publish_all([Invoice { total: 1 }]) => a type is a job if some `
//~ Invoice { total: 1 } => a type is a job if some `
