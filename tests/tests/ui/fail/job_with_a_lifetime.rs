#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("ping")]
struct Ping<'a>(&'a str);

fn main() {}

//~ <'a> => expected a job without generics: one request type has one body type, which owns its content
