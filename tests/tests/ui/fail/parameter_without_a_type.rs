#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(ping) {}

fn main() {
}

//~ ) => help: if this is a parameter name, give it a type
