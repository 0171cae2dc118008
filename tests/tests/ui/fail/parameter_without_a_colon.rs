#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(ping Ping) {}

fn main() {
    let _ = pulpo::publish(Ping);
}

//~ Ping => help: declare the type after the parameter binding: `<identifier>: <type>`
