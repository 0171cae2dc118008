use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, pulpo::Job)]
#[job("send")]
struct Send<T> {
    what: T,
}

fn main() {}
