#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("ping")]
pub struct Ping;

#[pulpo::handler(queue = "mail", ttr = "60s")]
fn ping(_: Ping) {}

fn main() {
    let _ = pulpo::publish(Ping);
}

//~ queue => expected the request type as the first argument, `#[pulpo::handler("its_name", queue = "mail")]`; or, if the body type has `#[derive(pulpo::Job)]`, `queue = "mail"` in its `#[job(…)]`
