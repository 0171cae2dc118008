#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job()]
struct Ping;

#[pulpo::handler]
fn ping(_: Ping) {}

fn main() {
    let _ = pulpo::publish(Ping);
    let _ = pulpo::publish::<Ping>(Ping);
    let _ = pulpo::publish(pulpo::Message::new(Ping).priority(1));
    let _ = pulpo::publish_all([Ping, Ping]);
}

//~ pulpo::Job => expected the request type as the first argument: #[job("its_name")]
