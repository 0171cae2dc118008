#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a",, queue = "mail")]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler(, "b")]
fn job_1(_: Job1) {}

fn main() {}

//~ , => expected an argument before this comma
//~ , => expected an argument before this comma
