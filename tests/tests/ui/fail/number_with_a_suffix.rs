#[derive(serde::Serialize, serde::Deserialize)]
struct Ping {
    a: u8,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Pong {
    a: u8,
}

#[pulpo::handler("a", priority = 10u8)]
fn a(ping: Ping) {
    let _ = ping.a;
}

#[pulpo::handler("b", max_attempts = 3usize)]
fn b(pong: Pong) {
    let _ = pong.a;
}

fn main() {}

//~ 10u8 => write 10
//~ 3usize => write 3
