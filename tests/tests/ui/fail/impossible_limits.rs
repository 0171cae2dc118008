#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", rate = "10/fortnight")]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", limit = 0)]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("c", rate = "0/1s")]
fn job_2(_: Job2) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("d", rate = "10/s")]
fn job_3(_: Job3) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job4;

#[pulpo::handler("e", rate = 10)]
fn job_4(_: Job4) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job5 {
    tenant: String,
}

#[pulpo::handler("f", limit_by(tenant) = "1", rate_by(tenant) = "10/0s")]
fn job_5(_: Job5) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job6;

#[pulpo::handler("g", throttle = "10/1s")]
fn job_6(_: Job6) {}

fn main() {}

//~ "10/fortnight" => expected a rate in a string such as "10/1s"
//~ 0 => expected a number of jobs that may run at the same time, from 1 to 4294967295, got `0`
//~ "0/1s" => with it no job would ever start
//~ "10/s" => write "10/1s"
//~ 10 => expected a rate in a string such as "10/1s"
//~ "1" => write 1 without the quotes
//~ "10/0s" => with it no job would ever start
//~ throttle => unknown argument `throttle`: write `rate = "10/1s"`
