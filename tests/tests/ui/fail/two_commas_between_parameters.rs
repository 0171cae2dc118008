#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(ping: Ping,, run: &pulpo::Context) {}

fn main() {
    let _ = pulpo::publish(Ping);
}

//~ , => expected parameter name, found `,`
