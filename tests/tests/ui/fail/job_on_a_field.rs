#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("ping")]
struct Ping {
    #[job("host")]
    host: String,
}

#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("pong")]
enum Pong {
    #[job("a")]
    A,
    B(#[job("b")] u8),
}

fn main() {}

//~ #[job("host")] => write it beside the derive
//~ #[job("a")] => write it beside the derive
//~ #[job("b")] => write it beside the derive
