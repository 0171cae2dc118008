#[derive(serde::Serialize, serde::Deserialize)]
struct Job0;

#[pulpo::handler("a", timeout = 30m)]
fn job_0(_: Job0) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job1;

#[pulpo::handler("b", timeout = 1h30m)]
fn job_1(_: Job1) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job2;

#[pulpo::handler("c", ttr = 90s)]
fn job_2(_: Job2) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job3;

#[pulpo::handler("d", ttr = 60)]
fn job_3(_: Job3) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job4;

#[pulpo::handler("e", timeout = 500ms)]
fn job_4(_: Job4) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job5;

#[pulpo::handler("f", backoff = 1s..5m)]
fn job_5(_: Job5) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job6;

#[pulpo::handler("g", backoff = 5s)]
fn job_6(_: Job6) {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Job7;

#[pulpo::handler("h", timeout = 1_000ms)]
fn job_7(_: Job7) {}

fn main() {}

//~ 30m => write "30m"
//~ 1h30m => write "1h30m"
//~ 90s => write "90s"
//~ 60 => write "60s" for seconds
//~ 500ms => write "500ms"
//~ 1s..5m => write "1s..5m"
//~ 5s => write "5s"
//~ 1_000ms => write "1000ms"
