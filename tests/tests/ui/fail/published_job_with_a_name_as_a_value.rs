#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job = "ping"]
struct Ping;

#[pulpo::handler]
fn ping(_: Ping) {}

fn main() {
    let _ = pulpo::publish(Ping);
    let _ = pulpo::publish::<Ping>(Ping);
    let _ = pulpo::publish(pulpo::Message::new(Ping).priority(1));
    let _ = pulpo::publish_all([Ping, Ping]);
}

//~ #[job = "ping"] => expected the name of the job in parentheses, #[job("its_name")], got `job = "ping"`
