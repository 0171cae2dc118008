#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler(name = "a")]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler(request_type = "b")]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler(job = "c")]
fn job_2(_: Job2) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler(type = "d")]
fn job_3(_: Job3) {}

fn main() {}

//~ name => write "a" as the first argument
//~ request_type => write "b" as the first argument
//~ job => write "c" as the first argument
//~ type => write "d" as the first argument
