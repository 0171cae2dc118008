#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(ping: Ping) pulpo::Outcome {
    Ok(())
}

fn main() {
    let _ = pulpo::publish(Ping);
}

//~ pulpo => expected one of `->`, `where`, or `{`, found `pulpo`
