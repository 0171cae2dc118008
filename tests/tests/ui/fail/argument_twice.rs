#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", ttr = "5s", ttr = "6s")]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", priority = 5, priority = 5)]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("c", timeout = "5s", queue = "x", timeout = "5s")]
fn job_2(_: Job2) {}

fn main() {}

//~ ttr => keep one of them
//~ priority => keep one of them
//~ timeout => keep one of them
