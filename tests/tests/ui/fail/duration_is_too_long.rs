#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", timeout = "137years")]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", backoff = "1s..200years")]
fn job_1(_: Job1) {}

fn main() {}

//~ "137years" => expected at most 4294967295 seconds, some 136 years, got `137years`: beanstalkd counts no further
//~ "1s..200years" => expected at most 4294967295 seconds, some 136 years, got `1s..200years`: beanstalkd counts no further
