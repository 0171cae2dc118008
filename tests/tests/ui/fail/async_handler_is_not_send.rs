use std::rc::Rc;

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

async fn deliver(_: &str) {}

#[pulpo::handler("send_email")]
async fn send_email(email: SendEmail) -> pulpo::Outcome {
    let to = Rc::new(email.to);
    deliver(&to).await;
    Ok(())
}

fn main() {}

//~ send_email => future cannot be sent between threads safely
