#[pulpo::handler("a")]
fn a(_: Ping) {}

#[pulpo::handler("b", batch = 5)]
fn b(_: Vec<Pong>) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Wrap<T>(T);

#[pulpo::handler("c")]
fn c(_: Wrap<Pang>) {}

#[pulpo::handler]
fn d(_: jobs::Pung) {}

fn main() {}

//~ Ping => not found in this scope
//~ Pong => help: you might be missing a type parameter
//~ Pang => help: you might be missing a type parameter
//~ jobs => help: if you wanted to use a crate named `jobs`, use `cargo add jobs` to add it to your `Cargo.toml`
