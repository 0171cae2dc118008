#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", concurrency = 5)]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", workers = 4)]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("c", state = Pool)]
fn job_2(_: Job2) {}

fn main() {}

//~ concurrency => it belongs to the worker: set `concurrency` in its configuration
//~ workers => it belongs to the worker: set `concurrency` in its configuration
//~ state => unknown argument `state`: state is a parameter: take `pulpo::State<T>` after the body
