#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
function ping(ping: Ping) {}

fn main() {
    let _ = pulpo::publish(Ping);
}

//~ ping => help: write `fn` instead of `function` to declare a function
