use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct SendEmail {
    to: String,
}

#[pulpo::handler("send_address")]
fn send_address(_: std::net::SocketAddrV6) {}

fn main() {}

//~ std => define and implement a trait or new type instead
