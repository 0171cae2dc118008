#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("ping")]
struct Ping
where
    u8: Sized;

fn main() {}

//~ where => expected a job without a `where` clause: there is nothing that it could bound
