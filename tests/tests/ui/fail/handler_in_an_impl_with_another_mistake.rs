#[derive(serde::Serialize, serde::Deserialize)]
struct Ping;

struct Mailer;

impl Mailer {
    #[pulpo::handler("ping", ttr = 60)]
    fn ping(_: Ping) {}
}

fn main() {}

//~ 60 => and a handler cannot stand in an `impl` or a trait: move it out
