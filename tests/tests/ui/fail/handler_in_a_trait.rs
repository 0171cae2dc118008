#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

trait Mailer {
    #[pulpo::handler("ping")]
    fn ping(_: Ping) {}
}

fn main() {}

//~ ping => consider moving the implementation out to a nearby module scope
