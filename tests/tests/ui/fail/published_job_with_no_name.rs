#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
struct Ping;

#[pulpo::handler]
fn ping(_: Ping) {}

fn main() {
    let _ = pulpo::publish(Ping);
    let _ = pulpo::publish::<Ping>(Ping);
    let _ = pulpo::publish(pulpo::Message::new(Ping).priority(1));
    let _ = pulpo::publish_all([Ping, Ping]);
}

//~ pulpo::Job => expected the name of the job beside `#[derive(pulpo::Job)]`: #[job("its_name")]
