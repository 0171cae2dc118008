#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", QUEUE = "mail")]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", Timeout = "5s")]
fn job_1(_: Job1) {}

fn main() {}

//~ QUEUE => did you mean `queue`?
//~ Timeout => did you mean `timeout`?
