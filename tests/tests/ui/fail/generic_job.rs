use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, pulpo::Job)]
#[job("send")]
struct Send<T> {
    what: T,
}

fn main() {}

//~ <T> => expected a job without generics: one request type has one body type, which owns its content
