#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn (ping: Ping) {}

fn main() {
    let _ = pulpo::publish(Ping);
}

//~ ( => expected identifier, found `(`
