#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("pi ng")]
struct Ping;

#[pulpo::handler]
fn ping(_: Ping) {}

fn main() {
    let _ = pulpo::publish(Ping);
    let _ = pulpo::publish::<Ping>(Ping);
    let _ = pulpo::publish(pulpo::Message::new(Ping).priority(1));
    let _ = pulpo::publish_all([Ping, Ping]);
}

//~ "pi ng" => expected a request type of ASCII letters, digits and `-_.:/+;$()`, got ' ' in "pi ng"
