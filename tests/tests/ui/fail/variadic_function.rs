#[derive(serde::Serialize, serde::Deserialize)]
struct Ping {
    a: u8,
}

#[pulpo::handler("a")]
fn a(ping: Ping, _: ...) {
    let _ = ping.a;
}

fn main() {}

//~ _: ... => remove the variadic one
