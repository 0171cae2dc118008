#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(ping: Ping) {
    let = 5;
}

fn main() {
    let _ = pulpo::publish(Ping);
}

//~ = => expected pattern, found `=`
