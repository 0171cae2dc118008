#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler(queue = "mail")]
fn ping(_: Ping) {}

fn main() {
    let _ = pulpo::publish(Ping);
    let _ = pulpo::publish::<Ping>(Ping);
    let _ = pulpo::publish(pulpo::Message::new(Ping).priority(1));
    let _ = pulpo::publish_all([Ping, Ping]);
}

//~ queue => expected the request type as the first argument, `#[pulpo::handler("its_name", queue = "mail")]`; or, if the body type has `#[derive(pulpo::Job)]`, `queue = "mail"` in its `#[job(…)]`
