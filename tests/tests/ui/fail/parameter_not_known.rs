use pulpo::State;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[derive(Serialize, Deserialize)]
struct Invoice;

#[pulpo::handler("send_email")]
fn send_email(_: SendEmail, _: State<u8>, _: u32, _: &pulpo::Context, _: &str) {}

#[pulpo::handler("invoice")]
fn invoice(_: Invoice, _: pulpo::Context) {}

fn main() {}
