#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler(ping)]
fn ping(_: Ping) {}

fn main() {
    let _ = pulpo::publish(Ping);
    let _ = pulpo::publish::<Ping>(Ping);
    let _ = pulpo::publish(pulpo::Message::new(Ping).priority(1));
    let _ = pulpo::publish_all([Ping, Ping]);
}

//~ ping => write "ping"
