#[derive(serde::Serialize, serde::Deserialize, pulpo::Job)]
#[job("ping")]
struct Ping<T>(T);

#[pulpo::handler]
fn ping(_: Ping<u8>) {}

fn main() {
    let _ = pulpo::publish(Ping(5u8));
}

//~ <T> => expected a job without generics: one request type has one body type, which owns its content
