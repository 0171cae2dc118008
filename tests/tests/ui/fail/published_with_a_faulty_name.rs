#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

#[pulpo::handler("pi ng")]
fn ping(_: Ping) {}

fn main() {
    let _ = pulpo::publish(Ping);
    let _ = pulpo::publish::<Ping>(Ping);
    let _ = pulpo::publish(pulpo::Message::new(Ping).priority(1));
    let _ = pulpo::publish_all([Ping, Ping]);
}

//~ "pi ng" => expected a request type of ASCII letters, digits and `-_.:/+;$()`, got ' ' in "pi ng"
