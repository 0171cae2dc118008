use std::rc::Rc;

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    #[serde(skip)]
    to: Rc<String>,
}

#[pulpo::handler("send_email")]
fn send_email(_: SendEmail) {}

fn main() {}

//~ SendEmail => `Rc<String>` cannot be sent between threads safely
