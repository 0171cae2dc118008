#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a" queue = "mail")]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", queue = "mail" priority = 5)]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("c", priority = 5 timeout = "5s")]
fn job_2(_: Job2) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("d", queue = "mail" "other")]
fn job_3(_: Job3) {}

fn main() {}

//~ queue => expected a comma before `queue`
//~ priority => expected a comma before `priority`
//~ timeout => expected a comma before `timeout`
//~ "other" => write `alias = "other"`
