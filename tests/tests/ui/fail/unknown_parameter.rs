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

//~ u32 => expected `&pulpo::Context` or `pulpo::State<T>` after the body
//~ &str => expected `&pulpo::Context` or `pulpo::State<T>` after the body
//~ pulpo::Context => expected `&pulpo::Context` or `pulpo::State<T>` after the body
