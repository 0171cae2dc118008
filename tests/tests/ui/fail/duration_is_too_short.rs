#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", timeout = "999us", backoff = "1ns..1s")]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", unique, unique_for = "500us", rate = "1/1ns")]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("c", batch = 5, linger = "10us")]
fn job_2(_: Vec<Job2>) {}

fn main() {}

//~ "999us" => expected at least "1ms", got `999us`: queues count in milliseconds
//~ "1ns..1s" => expected at least "1ms", got `1ns..1s`: queues count in milliseconds
//~ "500us" => expected at least "1ms", got `500us`: queues count in milliseconds
//~ "1/1ns" => expected at least "1ms", got `1/1ns`: queues count in milliseconds
//~ "10us" => expected at least "1ms", got `10us`: queues count in milliseconds
