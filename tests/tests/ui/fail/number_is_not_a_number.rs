#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", priority = high)]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", max_attempts = "5")]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("c", priority = 1.5)]
fn job_2(_: Job2) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("d", max_attempts = 5u64)]
fn job_3(_: Job3) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job4;

#[pulpo::handler("e", priority = -1)]
fn job_4(_: Job4) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job5;

#[pulpo::handler("f", max_attempts = 0)]
fn job_5(_: Job5) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job6;

#[pulpo::handler("g", priority = 4294967296)]
fn job_6(_: Job6) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job7;

#[pulpo::handler("h", max_attempts = MAX)]
fn job_7(_: Job7) {}

fn main() {}

//~ high => expected a priority from 0, the most urgent, to 4294967295, got `high`
//~ "5" => write 5 without the quotes
//~ 1.5 => expected a priority from 0, the most urgent, to 4294967295, got `1.5`
//~ 5u64 => expected a number of runs from 1 to 4294967295, got `5u64`
//~ -1 => expected a priority from 0, the most urgent, to 4294967295, got `- 1`
//~ 0 => expected a number of runs from 1 to 4294967295, got `0`
//~ 4294967296 => expected a priority from 0, the most urgent, to 4294967295, got `4294967296`
//~ MAX => expected a number of runs from 1 to 4294967295, got `MAX`
