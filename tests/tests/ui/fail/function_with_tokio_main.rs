#[derive(serde::Serialize, serde::Deserialize)]
struct Fetch;

#[pulpo::handler("fetch")]
#[tokio::main]
async fn fetch(_: Fetch) {}

fn main() {
    let _ = pulpo::publish(Fetch);
}

//~ #[tokio::main] => remove `tokio::main`, a worker has a runtime for all its handlers
