#[derive(serde::Serialize, serde::Deserialize)]
struct Ping {
    a: u8,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Pong {
    a: u8,
}

#[cfg_attr(not(windows), pulpo::handler("a", quee = "mail"))]
fn a(ping: Ping) {
    let _ = ping.a;
}

#[cfg_attr(not(windows), pulpo::handler("b"), allow(unused))]
#[cfg_attr(all(), inline)]
fn b(pong: Pong) -> u8 {
    pong.a
}

fn main() {}

//~ quee => did you mean `queue`?
//~ u8 => expected `()` or `Result<(), E>`
