#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0")]
fn job_0(_: Job0, _: pulpo::State<dyn std::fmt::Debug>) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1")]
fn job_1(_: Job1, _: pulpo::State<str>) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("job_2")]
fn job_2(_: Job2, _: pulpo::State<[u8]>) {}

fn main() {}

//~ dyn std::fmt::Debug => write `State<Box<dyn std::fmt::Debug>>`
//~ str => write `State<String>`
//~ [u8] => write `State<Vec<u8>>`
