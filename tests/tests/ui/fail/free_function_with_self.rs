#[derive(serde::Serialize, serde::Deserialize)]
struct Ping {
    a: u8,
}

#[pulpo::handler("a")]
fn a(self: Ping) {}

#[pulpo::handler("b")]
fn b(&self, ping: Ping) {
    let _ = ping.a;
}

fn main() {}

//~ self => associated functions are those in `impl` or `trait` definitions
//~ &self => associated functions are those in `impl` or `trait` definitions
