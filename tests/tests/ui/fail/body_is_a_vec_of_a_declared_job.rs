#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("ping")]
pub struct Ping;

#[pulpo::handler]
fn ping(_: Vec<Ping>) {}

fn main() {
    let _ = pulpo::publish(Ping);
}

//~ Vec<Ping> => wrap it in one, `struct Name(Vec<Ping>);`, or add `batch = 100` if the handler takes several jobs at once
