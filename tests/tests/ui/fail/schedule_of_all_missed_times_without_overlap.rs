#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("job_0", cron = "0 3 * * *", missed = "all")]
fn job_0(_: Job0) {}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("job_1", every = "5m", overlap = "skip", missed = "all")]
fn job_1(_: Job1) {}

fn main() {}

//~ missed => expected `overlap = "allow"` beside `missed = "all"`
//~ overlap => expected `overlap = "allow"` beside `missed = "all"`
