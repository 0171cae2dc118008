use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_something")]
fn send_something(_: impl Serialize) {}

#[pulpo::handler("send_dyn")]
fn send_dyn(_: dyn Send) {}

fn main() {}

//~ impl Serialize => expected one type as the body, got `impl Serialize`: the worker must know what to decode
//~ dyn Send => help: you can use `impl Trait` as the argument type
