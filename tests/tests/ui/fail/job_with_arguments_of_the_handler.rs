#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("ping", batch = 5, linger = "5s")]
struct Ping;

fn main() {}

//~ batch => write it there, `#[pulpo::handler(batch = 5)]`
//~ linger => write it there, `#[pulpo::handler(linger = "5s")]`
