#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", queue)]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", timeout)]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("c", queue =)]
fn job_2(_: Job2) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("d", batch)]
fn job_3(_: Job3) {}

fn main() {}

//~ queue => expected `queue = "mail"`, got `queue`
//~ timeout => expected `timeout = "30s"`, got `timeout`
//~ queue = => write `queue = "mail"`
//~ batch => expected `batch = 100`, got `batch`
