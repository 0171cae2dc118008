use std::cell::Cell;

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_email")]
fn send_email(_: SendEmail, _: pulpo::State<Cell<u8>>) {}

fn main() {}

//~ pulpo::State<Cell<u8>> => expected a type that is `Send`, `Sync` and `'static`
