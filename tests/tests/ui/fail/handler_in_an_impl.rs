#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

struct Mailer;

impl Mailer {
    #[pulpo::handler("ping")]
    fn ping(_: Ping) {}
}

fn main() {
    let _ = Mailer::ping;
}

//~ ping => consider moving the implementation out to a nearby module scope
