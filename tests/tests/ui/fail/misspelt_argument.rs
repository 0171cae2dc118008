#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", quue = "mail")]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", time_out = "5s")]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("c", max_attempt = 5)]
fn job_2(_: Job2) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("d", bakcoff = "5s")]
fn job_3(_: Job3) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job4;

#[pulpo::handler("e", priorty = 5)]
fn job_4(_: Job4) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job5;

#[pulpo::handler("f", ailas = "x")]
fn job_5(_: Job5) {}

fn main() {}

//~ quue => did you mean `queue`?
//~ time_out => did you mean `timeout`?
//~ max_attempt => did you mean `max_attempts`?
//~ bakcoff => did you mean `backoff`?
//~ priorty => did you mean `priority`?
//~ ailas => did you mean `alias`?
