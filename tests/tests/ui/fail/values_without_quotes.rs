use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct Ping {
    n: u8,
}

#[pulpo::handler("ping", queue = send-mail, timeout = 30u64, rate = 10/1m, unique(n), unique_for = 10m)]
fn ping(_: Ping) {}

#[derive(Default, Serialize, Deserialize)]
struct Pong {
    n: u8,
}

#[pulpo::handler("pong", cron = "0 3 * * *", tz = America/Argentina/Buenos_Aires, rate_by(n) = 5 / 1s)]
fn pong(_: Pong) {}

fn main() {}

//~ send-mail => write "send-mail"
//~ 30u64 => write "30s" for seconds
//~ 10/1m => write "10/1m"
//~ 10m => write "10m"
//~ America/Argentina/Buenos_Aires => write "America/Argentina/Buenos_Aires"
//~ 5 / 1s => write "5/1s"
