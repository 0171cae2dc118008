//! No symbol can tell of two handlers of a job that is declared on its type,
//! since they do not know its name: the registry does.

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, pulpo::Job)]
#[job("ping")]
struct Ping;

#[pulpo::handler]
fn first(_: Ping) {}

#[pulpo::handler]
fn second(_: Ping) {}

fn main() {
    let error = pulpo::Registry::collect().expect_err("refused").to_string();
    assert!(error.starts_with("two handlers for one request type: `ping` is served by "), "{error}");
    assert!(error.contains("::first (") && error.contains("::second ("), "{error}");
}
