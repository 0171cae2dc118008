#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
struct Ping {
    #[job("ping")]
    host: String,
}

fn main() {}

//~ #[job("ping")] => write it beside the derive
