#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("ping")]
fn ping(_: Ping) -> u8 {
    5
}

fn main() {
    let _ = pulpo::publish(Ping);
    let _ = pulpo::publish::<Ping>(Ping);
    let _ = pulpo::publish(pulpo::Message::new(Ping).priority(1));
    let _ = pulpo::publish_all([Ping, Ping]);
}

//~ u8 => expected `()` or `Result<(), E>`, where `E` is a std error that is `Send + Sync`, `Box<dyn Error + Send + Sync>`, `anyhow::Error` or `pulpo::Failure`
