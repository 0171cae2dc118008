#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(Ping) {}

fn main() {
    let _ = pulpo::publish(Ping);
}

//~ ) => help: if this is a parameter name, give it a type
