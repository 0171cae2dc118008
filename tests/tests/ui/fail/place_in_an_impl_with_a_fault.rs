#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

struct Mailer;

impl Mailer {
    #[pulpo::handler("ping", ttr = 60)]
    fn ping(_: Ping) {}
}

fn main() {}

//~ ping => consider moving the implementation out to a nearby module scope
