#[derive(serde::Serialize, serde::Deserialize)]
#[job("ping")]
struct Ping;

fn main() {}

//~ job => cannot find attribute `job` in this scope
