#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping, _: u8) {}

fn main() {
    let _ = pulpo::publish(Ping);
    let _ = pulpo::publish::<Ping>(Ping);
    let _ = pulpo::publish(pulpo::Message::new(Ping).priority(1));
    let _ = pulpo::publish_all([Ping, Ping]);
}

//~ u8 => expected `&pulpo::Context` or `pulpo::State<T>` after the body
